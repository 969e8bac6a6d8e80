/**
 * Kubernetes' schemas, strictly: the API server drops a field that it does not know (and a limit that is misspelt is no limit),
 * so an unknown field is an error here.
 *
 * The validators are generated code without the schema they came from. Which fields a schema knows shows in what its validator
 * reads: the object is handed over behind a proxy that takes notes, and a field that nobody asked for is unknown.
 */
import { validate as deployment } from 'kubernetes-models/_schemas/IoK8sApiAppsV1Deployment';
import { validate as statefulSet } from 'kubernetes-models/_schemas/IoK8sApiAppsV1StatefulSet';
import { validate as configMap } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ConfigMap';
import { validate as namespace } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Namespace';
import { validate as volumeClaim } from 'kubernetes-models/_schemas/IoK8sApiCoreV1PersistentVolumeClaim';
import { validate as secret } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Secret';
import { validate as service } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Service';
import { validate as serviceAccount } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ServiceAccount';
import { validate as networkPolicy } from 'kubernetes-models/_schemas/IoK8sApiNetworkingV1NetworkPolicy';

interface Validate {
  (data: unknown): boolean;
  errors?: readonly { instancePath?: string; keyword?: string; params?: unknown }[] | null | undefined;
}

/** A kind that we use: one line. */
const SCHEMAS: Readonly<Record<string, unknown>> = {
  'v1/Namespace': namespace,
  'v1/ServiceAccount': serviceAccount,
  'v1/ConfigMap': configMap,
  'v1/Secret': secret,
  'v1/Service': service,
  'v1/PersistentVolumeClaim': volumeClaim,
  'apps/v1/Deployment': deployment,
  'apps/v1/StatefulSet': statefulSet,
  'networking.k8s.io/v1/NetworkPolicy': networkPolicy,
};

type Tree = Readonly<Record<string, unknown>>;
const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null;

/** What is wrong with one object by its schema, as `path: reason`; empty if nothing is. */
export function schemaErrors(object: unknown): string[] {
  if (!isTree(object)) return ['not an object'];
  const validate = SCHEMAS[`${object.apiVersion}/${object.kind}`] as Validate | undefined;
  if (!validate) {
    return [
      `no schema is listed for ${object.apiVersion}/${object.kind}: add its line to test/deploy/schema.ts`,
    ];
  }
  const asked = new Map<string, Set<string>>();
  const valid = validate(watched(object, '', asked));
  const failures = valid ? [] : (validate.errors ?? []);
  return [
    ...failures.map(
      ({ instancePath, keyword, params }) => `${instancePath || '/'}: ${keyword} ${JSON.stringify(params)}`,
    ),
    ...unasked(object, '', asked),
  ];
}

/** The same value; every field that is read, at any depth, is noted under its object's path. */
function watched(value: unknown, path: string, asked: Map<string, Set<string>>): unknown {
  if (!isTree(value)) return value;
  const noted = asked.get(path) ?? new Set<string>();
  asked.set(path, noted);
  return new Proxy(value, {
    get(target, key) {
      if (typeof key === 'symbol') return Reflect.get(target, key);
      noted.add(key);
      return watched(target[key], `${path}/${key}`, asked);
    },
    ownKeys(target) {
      // A map with free keys (labels, limits, data) is walked, not asked for names.
      for (const key of Object.keys(target)) noted.add(key);
      return Reflect.ownKeys(target);
    },
  });
}

function unasked(value: unknown, path: string, asked: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  if (!isTree(value)) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    asked.get(path)?.has(key) ? unasked(item, `${path}/${key}`, asked) : [`${path}/${key}: no such field`],
  );
}
