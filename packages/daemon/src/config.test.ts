import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import { resolveConfig, settings, type PartialConfig } from './config.ts';

/** Resolves with a file of this text as the default one. */
async function resolve(
  sources: { flags?: PartialConfig; environment?: NodeJS.ProcessEnv; file?: string; named?: string } = {},
): Promise<ReturnType<typeof resolveConfig>> {
  const directory = await fs.mkdtemp(path.join(os.tmpdir(), 'sylph-config-'));
  try {
    const defaultFile = path.join(directory, 'sylphd.toml');
    if (sources.file !== undefined) await fs.writeFile(defaultFile, sources.file);
    return resolveConfig(sources.flags ?? {}, {
      configFile: sources.named,
      environment: sources.environment ?? {},
      defaultFile,
    });
  } finally {
    await fs.rm(directory, { recursive: true });
  }
}

const refused = (pattern: RegExp) => (error: unknown) =>
  error instanceof SylphError && error.code === 'invalid_request' && pattern.test(error.message);

describe('configuration', () => {
  it('has a default for everything', async () => {
    const config = await resolve();
    assert.deepEqual(Object.keys(config), Object.keys(settings));
    assert.equal(config.listen, '127.0.0.1:7777');
  });

  it('takes flags over environment over file over defaults', async () => {
    const file = 'idle_timeout = 1\nmax_awake = 1\nlog_level = "warn"\n';
    const environment = { SYLPH_IDLE_TIMEOUT: '2', SYLPH_MAX_AWAKE: '2' };
    const config = await resolve({ file, environment, flags: { 'idle-timeout': '3' } });
    assert.deepEqual([config['idle-timeout'], config['max-awake'], config['log-level']], [3, 2, 'warn']);
  });

  it('reads the file that is named instead of the default one', async () => {
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), 'sylph-config-'));
    const named = path.join(directory, 'other.toml');
    await fs.writeFile(named, 'idle_timeout = 7\n');
    const file = 'idle_timeout = 1\n';
    assert.equal((await resolve({ file, environment: { SYLPH_CONFIG: named } }))['idle-timeout'], 7);
    assert.equal((await resolve({ file, named, environment: { SYLPH_CONFIG: '/none' } }))['idle-timeout'], 7);
    await fs.rm(directory, { recursive: true });
    await assert.rejects(resolve({ named }), refused(/other\.toml cannot be read/));
  });

  it('says which source is wrong', async () => {
    await assert.rejects(resolve({ file: 'idle_timeout = "soon"' }), refused(/^idle_timeout in .*sylphd\.toml: /));
    await assert.rejects(resolve({ environment: { SYLPH_ACCEL: 'fast' } }), refused(/^SYLPH_ACCEL: /));
    await assert.rejects(resolve({ flags: { listen: 'here' } }), refused(/^--listen: is HOST:PORT/));
    await assert.rejects(
      resolve({ file: 'idle-timeout = 3' }),
      refused(/sets idle-timeout, which no setting is called/),
    );
    await assert.rejects(resolve({ file: 'idle_timeout = ' }), refused(/cannot be read/));
  });

  it('is left to its files by the unit', async () => {
    const unit = await fs.readFile(path.resolve(import.meta.dirname, '../../../deploy/sylphd.service'), 'utf8');
    assert.match(unit, /^ExecStart=\S+ serve$/m);
    assert.match(unit, /^EnvironmentFile=-\/etc\/sylph\/environment$/m);
    assert.doesNotMatch(unit, /^Environment=/m);
  });
});
