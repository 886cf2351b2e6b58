import type { ServerResponse } from 'node:http';

/** A JSON object. */
export type Json = Record<string, unknown>;

/** An answer with a failure status; the fields are those of the API's error body. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;

  constructor(status: number, code: string, message: string, hint?: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** Ends an answer, with a JSON body where there is one. */
export function send(response: ServerResponse, status: number, body?: unknown): void {
  if (body === undefined) response.writeHead(status).end();
  else response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** A sprite that was just made. `number` tells it from others. */
export function exampleSprite(name: string, number: number): Json {
  const now = new Date().toISOString();
  return {
    id: `sprite-00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
    name,
    organization: 'acme',
    org_slug: 'acme',
    url: `http://${name}-abcde.sprites.localhost`,
    url_settings: { auth: 'sprite', private_access: 'org_users' },
    status: 'cold',
    state: 'asleep',
    reason: null,
    created_at: now,
    updated_at: now,
    last_running_at: null,
    last_warming_at: null,
    version: null,
    environment_version: null,
    labels: [],
    config: { cpus: 2, ram_mb: 2048, storage_gb: 20 },
    environment: {},
    idle_timeout_s: 30,
    image: 'minimal',
    parent: null,
    last_start: null,
  };
}

/** What `GET /v1/host` says of a host with so many sprites. */
export function exampleHost(spriteCount: number): Json {
  return {
    version: '0.1.0',
    accelerator: { kind: 'tcg', reason: 'no /dev/kvm' },
    qemu_version: '10.0.0',
    kernel: '6.12',
    agent: '0.1.0',
    cpus: 2,
    memory_total_bytes: 8 * 2 ** 30,
    memory_available_bytes: 4 * 2 ** 30,
    pool: { path: '/var/lib/sylph/pool', kind: 'loop', total_bytes: 10 * 2 ** 30, free_bytes: 8 * 2 ** 30 },
    cgroups: 'none',
    network: { kind: 'user', note: 'user mode: sprites reach the internet' },
    default_image: 'minimal',
    images: [
      { name: 'minimal', digest: 'abcdef0123456789', created_at: new Date(0).toISOString(), size_bytes: 10 ** 9 },
    ],
    sprites: { running: 0, warm: 0, cold: spriteCount },
    notices: ['emulation: sprites are slow on this machine'],
  };
}
