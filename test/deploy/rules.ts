/**
 * What we ask of a manifest beyond its schema: pods that run under the restricted profile, names that lead somewhere, limits,
 * probes. Each rule takes all objects of a rendering and says what is wrong and what to do about it.
 */
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment';
import type { IStatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { INamespace } from 'kubernetes-models/v1/Namespace';
import type { IPersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim';
import type { ISecret } from 'kubernetes-models/v1/Secret';
import type { IService } from 'kubernetes-models/v1/Service';
import type { IServiceAccount } from 'kubernetes-models/v1/ServiceAccount';

export type Workload = IDeployment | IStatefulSet;
export type KubernetesObject =
  | Workload
  | IConfigMap
  | INamespace
  | INetworkPolicy
  | IPersistentVolumeClaim
  | ISecret
  | IService
  | IServiceAccount;

export interface Rule {
  readonly name: string;
  readonly check: (objects: readonly KubernetesObject[]) => readonly string[];
}

/** Secrets that the base names and does not ship; deploy/README.md lists them. */
export const SECRETS_EXPECTED = /^(lethe-credentials|lethe-nats|[a-z]+-tls)$/;

const isWorkload = (object: KubernetesObject): object is Workload =>
  object.kind === 'Deployment' || object.kind === 'StatefulSet';
const nameOf = (object: KubernetesObject): string => `${object.kind} ${object.metadata?.name}`;
const workloads = (objects: readonly KubernetesObject[]): Workload[] => objects.filter(isWorkload);
const labelsOf = (workload: Workload): Readonly<Record<string, string>> =>
  workload.spec?.template?.metadata?.labels ?? {};
const podOf = (workload: Workload) => workload.spec?.template?.spec;
const containersOf = (workload: Workload): IContainer[] => [...(podOf(workload)?.containers ?? [])];
const allContainersOf = (workload: Workload): IContainer[] => [
  ...(podOf(workload)?.initContainers ?? []),
  ...containersOf(workload),
];
const matches = (
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): boolean => Object.entries(selector).every(([key, value]) => labels[key] === value);

/** Applies a check to every container, init containers too if asked, with its name before each finding. */
const perContainer =
  (init: boolean, check: (container: IContainer) => readonly string[]) =>
  (objects: readonly KubernetesObject[]): string[] =>
    workloads(objects).flatMap((workload) =>
      (init ? allContainersOf : containersOf)(workload).flatMap((container) =>
        check(container).map((finding) => `${nameOf(workload)}, container ${container.name}: ${finding}`),
      ),
    );

/** `250m` → 0.25, `2Gi` → 2147483648, `18G` → 1.8e10. */
export function quantity(value: string | number): number {
  const match = /^([0-9.]+)(m|[KMGT]i?|k)?$/.exec(String(value));
  if (!match) return Number.NaN;
  const [, digits, unit = ''] = match;
  const power = 'KMGT'.indexOf(unit.charAt(0).toUpperCase()) + 1;
  if (unit === 'm') return Number(digits) / 1000;
  return Number(digits) * (unit === '' ? 1 : (unit.endsWith('i') ? 1024 : 1000) ** power);
}

const restricted: Rule = {
  name: 'pods run under the restricted profile',
  check: (objects) => [
    ...workloads(objects).flatMap((workload) => {
      const pod = podOf(workload);
      const context = pod?.securityContext;
      const wanted: [boolean, string][] = [
        [context?.runAsNonRoot === true, 'set securityContext.runAsNonRoot: true'],
        [(context?.runAsUser ?? 0) > 0, 'set securityContext.runAsUser to a number that is not 0'],
        [
          context?.seccompProfile?.type === 'RuntimeDefault',
          'set securityContext.seccompProfile.type: RuntimeDefault',
        ],
        [
          pod?.automountServiceAccountToken === false,
          'set automountServiceAccountToken: false, nothing here calls the API server',
        ],
        [!pod?.hostNetwork && !pod?.hostPID && !pod?.hostIPC, 'share no namespace of the node'],
        [
          !pod?.volumes?.some((volume) => volume.hostPath),
          'mount no hostPath: use a PersistentVolumeClaim or emptyDir',
        ],
      ];
      return wanted.filter(([holds]) => !holds).map(([, remedy]) => `${nameOf(workload)}: ${remedy}`);
    }),
    ...perContainer(true, ({ securityContext: context }) => {
      const wanted: [boolean, string][] = [
        [context?.allowPrivilegeEscalation === false, 'set allowPrivilegeEscalation: false'],
        [context?.privileged !== true, 'remove privileged'],
        [
          context?.readOnlyRootFilesystem === true,
          'set readOnlyRootFilesystem: true and mount an emptyDir where it writes',
        ],
        [context?.capabilities?.drop?.includes('ALL') === true, 'drop ALL capabilities'],
        [(context?.capabilities?.add ?? []).length === 0, 'add no capabilities'],
      ];
      return wanted.filter(([holds]) => !holds).map(([, remedy]) => remedy);
    })(objects),
  ],
};

const images: Rule = {
  name: 'images are named with a tag that stays',
  check: perContainer(true, ({ image = '' }) => {
    const tag = /:([^/:@]+)(@|$)/.exec(image)?.[1];
    if (image.includes('@sha256:')) return [];
    return tag === undefined || tag === 'latest' ? [`image ${image}: name a version instead of latest`] : [];
  }),
};

const limits: Rule = {
  name: 'requests and limits for processor and memory',
  check: perContainer(true, ({ resources }) =>
    ['cpu', 'memory'].flatMap((what) => {
      const request = resources?.requests?.[what];
      const limit = resources?.limits?.[what];
      if (request === undefined || limit === undefined)
        return [`set resources.requests and limits for ${what}`];
      return quantity(request) <= quantity(limit)
        ? []
        : [`the request for ${what} must not exceed its limit`];
    }),
  ),
};

const probes: Rule = {
  name: 'startup, readiness and liveness are asked for',
  check: perContainer(false, (container) =>
    (['startupProbe', 'readinessProbe', 'livenessProbe'] as const).flatMap((name) => {
      const probe = container[name];
      if (!probe) return [`add a ${name}`];
      if (probe.grpc) return [`${name}: the kubelet's gRPC probe speaks no TLS, run probe.mjs instead`];
      const port = probe.httpGet?.port ?? probe.tcpSocket?.port;
      const known = container.ports?.some((one) => one.name === port || one.containerPort === port);
      return port === undefined || known
        ? []
        : [`${name} asks port ${port}, which the container does not list`];
    }),
  ),
};

const selectors: Rule = {
  name: 'selectors select',
  check: (objects) => {
    const pods = workloads(objects);
    const own = pods
      .filter((workload) => !matches(workload.spec?.selector.matchLabels ?? { none: '' }, labelsOf(workload)))
      .map((workload) => `${nameOf(workload)}: its selector and the labels of its template must agree`);
    const services = objects
      .filter((object) => object.kind === 'Service')
      .flatMap((service) => {
        const selected = pods.filter((workload) =>
          matches(service.spec?.selector ?? { none: '' }, labelsOf(workload)),
        );
        if (selected.length !== 1)
          return [`${nameOf(service)} selects ${selected.length} workloads; it must select one`];
        const ports = selected.flatMap(containersOf).flatMap((container) => container.ports ?? []);
        return (service.spec?.ports ?? [])
          .filter(({ port, targetPort = port }) =>
            ports.every((one) => one.name !== targetPort && one.containerPort !== targetPort),
          )
          .map((port) => `${nameOf(service)}: no container listens on ${port.targetPort ?? port.port}`);
      });
    const policies = objects
      .filter((object) => object.kind === 'NetworkPolicy')
      .filter(
        (policy) => !pods.some((pod) => matches(policy.spec?.podSelector?.matchLabels ?? {}, labelsOf(pod))),
      )
      .map((policy) => `${nameOf(policy)} selects no pod; correct its podSelector`);
    return [...own, ...services, ...policies];
  },
};

const references: Rule = {
  name: 'what a pod names is there',
  check: (objects) => {
    const there = new Set(objects.map(nameOf));
    for (const set of workloads(objects)) {
      if (set.kind !== 'StatefulSet') continue;
      const replicas = set.spec?.replicas ?? 1;
      for (const claim of set.spec?.volumeClaimTemplates ?? []) {
        for (let index = 0; index < replicas; index++) {
          there.add(`PersistentVolumeClaim ${claim.metadata?.name}-${set.metadata?.name}-${index}`);
        }
      }
    }
    const known = (name: string): boolean =>
      there.has(name) || SECRETS_EXPECTED.test(/^Secret (.*)$/.exec(name)?.[1] ?? '');
    return workloads(objects).flatMap((workload) => {
      const pod = podOf(workload);
      const volumes = pod?.volumes ?? [];
      const templates = workload.kind === 'StatefulSet' ? (workload.spec?.volumeClaimTemplates ?? []) : [];
      const named = [
        `ServiceAccount ${pod?.serviceAccountName}`,
        ...volumes.flatMap(({ configMap, secret, persistentVolumeClaim }) => [
          ...(configMap ? [`ConfigMap ${configMap.name}`] : []),
          ...(secret ? [`Secret ${secret.secretName}`] : []),
          ...(persistentVolumeClaim ? [`PersistentVolumeClaim ${persistentVolumeClaim.claimName}`] : []),
        ]),
        ...allContainersOf(workload).flatMap(({ envFrom = [], env = [] }) => [
          ...envFrom.flatMap(({ configMapRef }) => (configMapRef ? [`ConfigMap ${configMapRef.name}`] : [])),
          ...env.flatMap(({ valueFrom }) =>
            valueFrom?.secretKeyRef ? [`Secret ${valueFrom.secretKeyRef.name}`] : [],
          ),
        ]),
      ];
      const volumeNames = new Set([
        ...volumes.map(({ name }) => name),
        ...templates.map((one) => one.metadata?.name),
      ]);
      const mounted = allContainersOf(workload).flatMap(({ volumeMounts = [] }) =>
        volumeMounts.map(({ name }) => name),
      );
      return [
        ...named
          .filter((name) => !known(name))
          .map((name) => `${nameOf(workload)} names ${name}, which is not there`),
        ...mounted
          .filter((name) => !volumeNames.has(name))
          .map((name) => `${nameOf(workload)} mounts ${name}, which is no volume of the pod`),
        ...[...volumeNames]
          .filter((name) => name !== undefined && !mounted.includes(name))
          .map((name) => `${nameOf(workload)}: no container mounts volume ${name}; remove it`),
      ];
    });
  },
};

const ownership: Rule = {
  name: 'a volume has one writer',
  check: (objects) =>
    workloads(objects).flatMap((workload) => {
      if (workload.kind !== 'Deployment') return [];
      const writes = podOf(workload)?.volumes?.some(
        ({ persistentVolumeClaim: claim }) => claim !== undefined && claim.readOnly !== true,
      );
      if (!writes) return [];
      const alone = workload.spec?.replicas === 1 && workload.spec.strategy?.type === 'Recreate';
      return alone ? [] : [`${nameOf(workload)} owns a volume: set replicas: 1 and strategy.type: Recreate`];
    }),
};

const placement: Rule = {
  name: 'one namespace, and it enforces the restricted profile',
  check: (objects) => {
    const [namespace, ...others] = objects.filter((object) => object.kind === 'Namespace');
    if (!namespace || others.length > 0) return ['declare one Namespace'];
    const enforced = namespace.metadata?.labels?.['pod-security.kubernetes.io/enforce'] === 'restricted';
    const names = objects.map(
      (object) => `${object.kind}/${object.metadata?.namespace}/${object.metadata?.name}`,
    );
    return [
      ...(enforced ? [] : ['label the Namespace pod-security.kubernetes.io/enforce: restricted']),
      ...objects
        .filter((object) => object !== namespace && object.metadata?.namespace !== namespace.metadata?.name)
        .map((object) => `${nameOf(object)} must be in namespace ${namespace.metadata?.name}`),
      ...names.filter((name, index) => names.indexOf(name) !== index).map((name) => `${name} is there twice`),
    ];
  },
};

export const RULES: readonly Rule[] = [
  restricted,
  images,
  limits,
  probes,
  selectors,
  references,
  ownership,
  placement,
];

/** The variables of a container: those of its ConfigMaps, then its own; one from a Secret is there as 'from a secret'. */
export function environmentOf(
  workload: Workload,
  objects: readonly KubernetesObject[],
): Readonly<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const { envFrom = [], env = [] } of containersOf(workload)) {
    for (const { configMapRef } of envFrom) {
      const map = objects.find(
        (object) => object.kind === 'ConfigMap' && object.metadata?.name === configMapRef?.name,
      );
      if (map?.kind === 'ConfigMap') Object.assign(out, map.data);
    }
    for (const { name, value = 'from a secret' } of env) out[name] = value;
  }
  return out;
}
