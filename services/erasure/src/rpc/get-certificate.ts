import { type erasure, parseName } from '@lethe/contracts';
import type { Partially } from '@lethe/rpc';
import { ERASURE } from '../errors.ts';
import type { RpcContext } from './context.ts';

export const getCertificate =
  ({ gatherer, artefacts }: RpcContext) =>
  async ({ name }: erasure.GetCertificateRequest): Promise<Partially<erasure.Certificate>> => {
    const [tenant, id] = parseName('erasureRequest', name);
    const { requested, ending } = await gatherer.saga(tenant, id!);
    if (!requested) throw ERASURE.REQUEST_UNKNOWN(`there is no erasure request ${name}`);
    if (!ending) throw ERASURE.CERTIFICATE_NOT_ISSUED('the erasure has not ended');
    const certificate = ending.state === 'failed' ? undefined : ending.data.certificate;
    if (!certificate) {
      const why = ending.state === 'partial' ? `; missing: ${ending.data.missing.join('; ')}` : '';
      throw ERASURE.CERTIFICATE_NOT_ISSUED(`the erasure ended ${ending.state}, without a certificate${why}`);
    }
    return { content: await artefacts.getPublic(tenant, certificate), digest: certificate.object };
  };
