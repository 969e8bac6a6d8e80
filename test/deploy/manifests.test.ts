import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readConfig } from '@lethe/service';
import { objectsOf, render } from './kubectl.ts';
import {
  environmentOf,
  type KubernetesObject,
  quantity,
  RULES,
  SECRETS_EXPECTED,
  type Workload,
} from './rules.ts';
import { schemaErrors } from './schema.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const PARTS = ['vault', 'hashing', 'learning', 'federation', 'audit', 'erasure'] as const;
const RENDERINGS = {
  'deploy/base': render('deploy/base'),
  'deploy/overlays/dev': render('deploy/overlays/dev'),
};

const schemaFindings = (objects: readonly unknown[]): string[] =>
  objects.flatMap((object) => {
    const { kind, metadata } = object as { kind?: string; metadata?: { name?: string } };
    return schemaErrors(object).map((error) => `${kind} ${metadata?.name}${error}`);
  });

/** The rules read what the schema promises, so they are asked only of objects that keep to it. */
function findings(objects: readonly unknown[]): string[] {
  const found = schemaFindings(objects);
  if (found.length > 0) return found;
  return RULES.flatMap((rule) =>
    rule.check(objects as KubernetesObject[]).map((finding) => `[${rule.name}] ${finding}`),
  );
}

for (const [directory, objects] of Object.entries(RENDERINGS)) {
  test(`${directory}: every object holds to its schema and to every rule`, () => {
    assert.deepEqual(findings(objects), []);
  });

  test(`${directory}: every service has a Deployment, a Service and its entry point`, () => {
    for (const part of PARTS) {
      const deployment = deploymentOf(objects, part);
      assert.deepEqual(deployment.spec?.template.spec?.containers[0]?.args, [`services/${part}/src/main.ts`]);
      assert.ok(objects.some((object) => isNamed(object, 'Service', part)));
      assert.ok(existsSync(`${ROOT}services/${part}/src/main.ts`), `write services/${part}/src/main.ts`);
    }
  });

  test(`${directory}: the environment is one that Lethe reads, and names every peer by its Service`, () => {
    const read = variablesRead();
    for (const part of PARTS) {
      const environment = environmentOf(deploymentOf(objects, part), objects as KubernetesObject[]);
      const config = readConfig(environment);
      assert.deepEqual(
        config.addresses,
        Object.fromEntries(PARTS.map((peer) => [peer, `${peer}.lethe.svc:${config.port}`])),
      );
      assert.equal(config.host, '0.0.0.0');
      for (const name of ['LETHE_TLS_CERT', 'LETHE_TLS_KEY', 'LETHE_TLS_CLIENT_CA', 'LETHE_NATS_URL']) {
        assert.ok(environment[name], `${part} needs ${name}: outside loopback nothing is plain text`);
      }
      const unread = Object.keys(environment).filter((name) => name.startsWith('LETHE_') && !read.has(name));
      assert.deepEqual(unread, [], 'nobody reads these; correct their names in deploy/base/peers.env');
    }
  });
}

test('the vault reads the files that NATS writes', () => {
  const objects = RENDERINGS['deploy/base'] as KubernetesObject[];
  const vault = deploymentOf(objects, 'vault');
  const [path] = readConfig(environmentOf(vault, objects)).scanPaths;
  const pod = vault.spec?.template.spec;
  const mount = pod?.containers[0]?.volumeMounts?.find(({ mountPath }) => mountPath === path);
  assert.equal(mount?.readOnly, true);
  const claim = pod?.volumes?.find(({ name }) => name === mount?.name)?.persistentVolumeClaim?.claimName;
  assert.equal(claim, 'store-nats-0');
  const nats = objects.find((object) => object.kind === 'StatefulSet');
  assert.equal(nats?.spec?.template.spec?.securityContext?.runAsUser, pod?.securityContext?.runAsUser);
});

test('the stores are limited below the volume they lie on', () => {
  const configuration = readFileSync(`${ROOT}deploy/base/nats.conf`, 'utf8');
  const limit = quantity(/max_file_store: (\S+)/.exec(configuration)?.[1] ?? '');
  const nats = (RENDERINGS['deploy/base'] as KubernetesObject[]).find(
    (object) => object.kind === 'StatefulSet',
  );
  const [claim] = nats?.spec?.volumeClaimTemplates ?? [];
  assert.ok(limit < 0.95 * quantity(claim?.spec?.resources?.requests?.storage ?? 0), `${limit} bytes`);
});

test('the development secrets are all that the pods ask for', () => {
  const secrets = objectsOf(
    execFileSync('deploy/overlays/dev/make-secrets.sh', { cwd: ROOT, encoding: 'utf8' }),
  ) as KubernetesObject[];
  assert.deepEqual(schemaFindings(secrets), []);
  const names = new Set(secrets.map((secret) => secret.metadata?.name));
  for (const part of PARTS) assert.ok(names.has(`${part}-tls`), part);
  for (const name of ['nats-tls', 'lethe-nats', 'lethe-credentials']) assert.ok(names.has(name), name);
  for (const name of names) assert.match(name ?? '', SECRETS_EXPECTED);
});

/** What a slip of the hand in a manifest would be, and the finding that it must get. */
const BROKEN: readonly { what: string; at: string; change: (target: Mutable) => void; finding: RegExp }[] = [
  {
    what: 'a misspelt field',
    at: 'Deployment vault',
    change: (it) => set(it, 'spec.template.spec.containers.0.resource', {}),
    finding: /resource: no such field/,
  },
  {
    what: 'a misspelt field deep in a probe',
    at: 'Deployment audit',
    change: (it) => set(it, 'spec.template.spec.containers.0.livenessProbe.periodSecond', 3),
    finding: /periodSecond: no such field/,
  },
  {
    what: 'a number that is a text',
    at: 'Deployment vault',
    change: (it) => set(it, 'spec.replicas', 'one'),
    finding: /spec\/replicas: type/,
  },
  {
    what: 'a required field that is not there',
    at: 'StatefulSet nats',
    change: (it) => set(it, 'spec.selector', undefined),
    finding: /required.*selector/,
  },
  {
    what: 'a kind that nobody knows',
    at: 'Service audit',
    change: (it) => set(it, 'kind', 'Servise'),
    finding: /no schema is listed for v1\/Servise/,
  },
  {
    what: 'a pod as root',
    at: 'Deployment learning',
    change: (it) => set(it, 'spec.template.spec.securityContext.runAsNonRoot', false),
    finding: /runAsNonRoot: true/,
  },
  {
    what: 'no seccomp profile',
    at: 'StatefulSet nats',
    change: (it) => set(it, 'spec.template.spec.securityContext.seccompProfile.type', 'Unconfined'),
    finding: /RuntimeDefault/,
  },
  {
    what: 'a writable root in an init container',
    at: 'Deployment hashing',
    change: (it) =>
      set(it, 'spec.template.spec.initContainers.0.securityContext.readOnlyRootFilesystem', false),
    finding: /private-files: set readOnlyRootFilesystem/,
  },
  {
    what: 'a capability kept',
    at: 'Deployment hashing',
    change: (it) => set(it, 'spec.template.spec.containers.0.securityContext.capabilities', {}),
    finding: /drop ALL/,
  },
  {
    what: 'a folder of the node',
    at: 'Deployment vault',
    change: (it) => set(it, 'spec.template.spec.volumes.0', { name: 'data', hostPath: { path: '/srv' } }),
    finding: /hostPath/,
  },
  {
    what: 'a token of the API server',
    at: 'Deployment vault',
    change: (it) => set(it, 'spec.template.spec.automountServiceAccountToken', true),
    finding: /automountServiceAccountToken/,
  },
  {
    what: 'latest',
    at: 'StatefulSet nats',
    change: (it) => set(it, 'spec.template.spec.containers.0.image', 'nats:latest'),
    finding: /name a version instead of latest/,
  },
  {
    what: 'no tag behind a port',
    at: 'StatefulSet nats',
    change: (it) => set(it, 'spec.template.spec.containers.0.image', 'example.test:5000/nats'),
    finding: /name a version instead of latest/,
  },
  {
    what: 'no limit',
    at: 'Deployment federation',
    change: (it) => set(it, 'spec.template.spec.containers.0.resources.limits.memory', undefined),
    finding: /limits for memory/,
  },
  {
    what: 'a request above the limit',
    at: 'Deployment federation',
    change: (it) => set(it, 'spec.template.spec.containers.0.resources.requests.memory', '3Gi'),
    finding: /must not exceed its limit/,
  },
  {
    what: 'no readiness',
    at: 'Deployment erasure',
    change: (it) => set(it, 'spec.template.spec.containers.0.readinessProbe', undefined),
    finding: /add a readinessProbe/,
  },
  {
    what: 'a plain gRPC probe',
    at: 'Deployment erasure',
    change: (it) => set(it, 'spec.template.spec.containers.0.readinessProbe', { grpc: { port: 7420 } }),
    finding: /speaks no TLS/,
  },
  {
    what: 'a probe of another port',
    at: 'StatefulSet nats',
    change: (it) => set(it, 'spec.template.spec.containers.0.livenessProbe.httpGet.port', 'monitoring'),
    finding: /asks port monitoring/,
  },
  {
    what: 'labels that left their selector',
    at: 'Deployment audit',
    change: (it) => set(it, 'spec.template.metadata.labels', { app: 'audit' }),
    finding: /Service audit selects 0 workloads/,
  },
  {
    what: 'a Service of another port',
    at: 'Service audit',
    change: (it) => set(it, 'spec.ports.0.targetPort', 'http'),
    finding: /no container listens on http/,
  },
  {
    what: 'a policy for nobody',
    at: 'NetworkPolicy nats',
    change: (it) => set(it, 'spec.podSelector.matchLabels', { app: 'nats' }),
    finding: /selects no pod/,
  },
  {
    what: 'a ConfigMap that is not there',
    at: 'Deployment audit',
    change: (it) => set(it, 'spec.template.spec.containers.0.envFrom.0.configMapRef.name', 'leth'),
    finding: /names ConfigMap leth, which is not there/,
  },
  {
    what: 'a Secret of another name',
    at: 'Deployment audit',
    change: (it) => set(it, 'spec.template.spec.volumes.3.secret.secretName', 'audit-cert'),
    finding: /names Secret audit-cert/,
  },
  {
    what: 'a volume that is not mounted',
    at: 'Deployment audit',
    change: (it) => set(it, 'spec.template.spec.volumes.3.name', 'cert'),
    finding: /mounts tls, which is no volume[\s\S]*no container mounts volume cert/,
  },
  {
    what: 'two writers of the keys',
    at: 'Deployment vault',
    change: (it) => set(it, 'spec.replicas', 2),
    finding: /owns a volume: set replicas: 1/,
  },
  {
    what: 'a rolling update over the keys',
    at: 'Deployment erasure',
    change: (it) => set(it, 'spec.strategy', { type: 'RollingUpdate' }),
    finding: /owns a volume/,
  },
  {
    what: 'a namespace without its label',
    at: 'Namespace lethe',
    change: (it) => set(it, 'metadata.labels', {}),
    finding: /enforce: restricted/,
  },
  {
    what: 'an object elsewhere',
    at: 'Service nats',
    change: (it) => set(it, 'metadata.namespace', 'default'),
    finding: /Service nats must be in namespace lethe/,
  },
];

test('each check fails on the manifest that it is for', () => {
  for (const { what, at, change, finding } of BROKEN) {
    const objects = structuredClone(RENDERINGS['deploy/base']) as Mutable[];
    const [kind, name] = at.split(' ');
    const target = objects.find((object) => isNamed(object, kind, name));
    assert.ok(target, `${at} is not in the base`);
    change(target);
    assert.match(findings(JSON.parse(JSON.stringify(objects))).join('\n'), finding, what);
  }
});

test('quantities as Kubernetes writes them', () => {
  assert.deepEqual(['250m', '2', '18G', '2Gi', '64Mi', 'much'].map(quantity), [
    0.25,
    2,
    18e9,
    2 ** 31,
    2 ** 26,
    Number.NaN,
  ]);
});

type Mutable = Record<string, unknown>;

/** Sets a field by its path, or removes it. */
function set(object: Mutable, path: string, value: unknown): void {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let at = object;
  for (const key of keys) at = at[key] as Mutable;
  at[last] = value;
}

function isNamed(object: unknown, kind: string | undefined, name: string | undefined): boolean {
  const it = object as { kind?: string; metadata?: { name?: string } };
  return it.kind === kind && it.metadata?.name === name;
}

function deploymentOf(objects: readonly unknown[], part: string) {
  const found = objects.find((object) => isNamed(object, 'Deployment', part));
  assert.ok(found, `add deploy/base/${part}.yaml`);
  return found as Extract<Workload, { kind: 'Deployment' }>;
}

/** Every LETHE_* variable that the sources name, and the addresses, whose names the configuration composes. */
function variablesRead(): ReadonlySet<string> {
  const sources = globSync('{libs,services}/*/src/**/*.ts', { cwd: ROOT }).map((file) =>
    readFileSync(ROOT + file, 'utf8'),
  );
  const names = sources.flatMap((source) => source.match(/\bLETHE_[A-Z_]+\b/g) ?? []);
  return new Set([...names, ...PARTS.map((part) => `LETHE_${part.toUpperCase()}_ADDRESS`)]);
}
