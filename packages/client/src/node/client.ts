import { SylphClient as CoreClient } from '../client.ts';
import type { ClientOptions } from '../options.ts';
import { nodeTransport } from '../transport/node.ts';

/** Client of one server, over Node's sockets. */
export class SylphClient extends CoreClient {
  constructor(options: ClientOptions) {
    super({ ...options, transport: options.transport ?? nodeTransport });
  }
}
