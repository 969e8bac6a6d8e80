/**
 * gRPC reflection over the committed descriptor set. Our own because the published package merges files of one package
 * and drops their imports, which real clients (buf curl, grpcurl) refuse.
 */
import { readFileSync } from 'node:fs';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import { DESCRIPTOR_SET, type reflection } from '@lethe/contracts';
import type { Handlers } from './service.ts';

interface Catalogue {
  readonly services: readonly string[];
  /** File bytes by file name, and file name by symbol. */
  readonly files: ReadonlyMap<string, { bytes: Uint8Array; imports: readonly string[] }>;
  readonly symbols: ReadonlyMap<string, string>;
}

function load(): Catalogue {
  const files = new Map<string, { bytes: Uint8Array; imports: readonly string[] }>();
  const symbols = new Map<string, string>();
  const services: string[] = [];
  for (const file of fromBinary(FileDescriptorSetSchema, readFileSync(DESCRIPTOR_SET)).file) {
    files.set(file.name, { bytes: toBinary(FileDescriptorProtoSchema, file), imports: file.dependency });
    const prefix = file.package ? `${file.package}.` : '';
    for (const { name } of [...file.messageType, ...file.enumType]) symbols.set(prefix + name, file.name);
    for (const service of file.service) {
      services.push(prefix + service.name);
      symbols.set(prefix + service.name, file.name);
      for (const method of service.method) symbols.set(`${prefix}${service.name}.${method.name}`, file.name);
    }
  }
  return { services, files, symbols };
}

export function reflectionHandlers(): Handlers<typeof reflection.ServerReflectionDefinition> {
  const catalogue = load();
  const withImports = (name: string, seen = new Set<string>()): Uint8Array[] => {
    const file = catalogue.files.get(name);
    if (!file || seen.has(name)) return [];
    seen.add(name);
    return [file.bytes, ...file.imports.flatMap((dependency) => withImports(dependency, seen))];
  };
  /** A nested message or enum lives in the file of its outermost message. */
  const fileOf = (symbol: string): string | undefined => {
    for (let name = symbol; name.includes('.'); name = name.slice(0, name.lastIndexOf('.'))) {
      const file = catalogue.symbols.get(name);
      if (file) return file;
    }
    return undefined;
  };
  const answer = (
    request: reflection.ServerReflectionRequest,
  ): reflection.ServerReflectionResponse['messageResponse'] => {
    const query = request.messageRequest;
    if (query?.$case === 'listServices') {
      return {
        $case: 'listServicesResponse',
        value: { service: catalogue.services.map((name) => ({ name })) },
      };
    }
    const file =
      query?.$case === 'fileByFilename'
        ? query.value
        : query?.$case === 'fileContainingSymbol'
          ? fileOf(query.value)
          : undefined;
    const found = file === undefined ? [] : withImports(file);
    if (found.length > 0) return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto: found } };
    return {
      $case: 'errorResponse',
      value: { errorCode: status.NOT_FOUND, errorMessage: 'no such symbol or file' },
    };
  };
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield { validHost: request.host, originalRequest: request, messageResponse: answer(request) };
      }
    },
  };
}
