import type { Repository, SpriteService } from '@sylph/engine';
import { pino } from 'pino';
import { version } from '../version.ts';
import { buildApi } from '../api/build.ts';

/** The OpenAPI document of this version as it is committed. No request is served for it, so that the parts behind the API are not needed. */
export async function openApiText(): Promise<string> {
  const app = buildApi({
    service: {} as SpriteService,
    repository: { pruneIdempotent: async () => {} } as unknown as Repository,
    host: () => Promise.reject(new Error('not served')),
    logger: pino({ enabled: false }),
    version,
    spriteUrl: () => '',
    domain: 'sprites.localhost',
    ready: () => false,
  });
  await app.ready();
  try {
    return `${JSON.stringify(app.swagger(), null, 2)}\n`;
  } finally {
    await app.close();
  }
}
