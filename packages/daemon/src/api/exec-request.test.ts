import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SpriteView } from '@sylph/engine';
import { SylphError, socketExecQuery } from '@sylph/model';
import fc from 'fast-check';
import { sessionRequest } from './exec-request.ts';

const sprite = { row: { environment: { FROM_SPRITE: 'yes' } } } as unknown as SpriteView;

/** Values as a query parser hands them over: a text, or several. */
const parameter = fc.oneof(
  fc.string(),
  fc.array(fc.string(), { maxLength: 5 }),
  fc.constantFrom('true', 'false', '', '0', '-1', 'a=b', '10s', '1e9', '\0', '../..', 'x'.repeat(200_000)),
);
const keys = [
  'cmd',
  'path',
  'env',
  'dir',
  'stdin',
  'tty',
  'cols',
  'rows',
  'max_run_after_disconnect',
  'id',
  'session_id',
  'offset',
  'unknown',
];
const query = fc.dictionary(fc.constantFrom(...keys), parameter, { maxKeys: keys.length });

describe('queries of exec', () => {
  it('become a request within all bounds, or are refused as the user’s fault', () => {
    fc.assert(
      fc.property(query, (raw) => {
        const parsed = socketExecQuery.safeParse(raw);
        if (!parsed.success) return;
        try {
          const request = sessionRequest(parsed.data, sprite);
          assert.ok(request.argv.length > 0 && request.path !== '');
          assert.ok(request.dir.startsWith('/') && !request.dir.split('/').includes('..'));
          assert.ok(!JSON.stringify(request).includes('\\u0000'));
          assert.ok(Buffer.byteLength(JSON.stringify(request)) < 64 * 1024);
          assert.equal(request.tty !== null, parsed.data.tty === true);
          assert.ok(request.maxRunAfterDisconnectMs === null || request.maxRunAfterDisconnectMs > 0);
        } catch (error) {
          if (!(error instanceof SylphError)) throw error;
          assert.equal(error.code, 'invalid_request');
        }
      }),
      { numRuns: 500 },
    );
  });

  it('pass any arguments and variables on unchanged', () => {
    const text = fc.string({ unit: 'binary', maxLength: 200 }).filter((value) => !value.includes('\0'));
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/);
    fc.assert(
      fc.property(
        fc.array(text, { minLength: 1, maxLength: 8 }),
        fc.dictionary(name, text, { maxKeys: 8 }),
        (args, env) => {
          const cmd = ['program', ...args];
          const assignments = Object.entries(env).map(([key, value]) => `${key}=${value}`);
          const request = sessionRequest(socketExecQuery.parse({ cmd, env: assignments }), sprite);
          assert.deepEqual(request.argv, cmd);
          for (const [key, value] of Object.entries(env)) assert.equal(request.env[key], value);
          assert.equal(request.env['FROM_SPRITE'], env['FROM_SPRITE'] ?? 'yes');
        },
      ),
    );
  });
});
