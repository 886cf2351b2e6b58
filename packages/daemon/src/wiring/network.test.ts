import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

/** Opens networks as configured, in a network namespace of its own, so that nothing of this machine's changes. */
function outcomes(configs: readonly { path?: string; settings: Record<string, string> }[]): string[] {
  const program = `
    const { openNetwork } = await import(${JSON.stringify(new URL('network.ts', import.meta.url).href)});
    const { resolveConfig } = await import(${JSON.stringify(new URL('../config.ts', import.meta.url).href)});
    const log = { warn() {} };
    const path = process.env.PATH;
    const said = [];
    for (const { path: given, settings } of ${JSON.stringify(configs)}) {
      process.env.PATH = given ?? path;
      const config = resolveConfig({ 'data-dir': '/tmp', ...settings }, { environment: {}, defaultFile: '/nowhere' });
      try {
        const { network, notices } = await openNetwork(config, log);
        const { kind, note } = await network.describe();
        said.push([kind, note, network.policyObstacle ?? 'policies', ...notices].join(' | '));
        await network.close({ vmsRemain: false });
      } catch (error) {
        said.push([error.code, error.message].join(' | '));
      }
    }
    console.log(JSON.stringify(said));
  `;
  const prepared =
    'mkdir -p /run/netns; mount -t tmpfs none /run/netns; mount -t tmpfs none /dev/net; mknod -m 600 /dev/net/tun c 10 200; exec "$@"';
  const node = [process.execPath, '--input-type=module', '--eval', program];
  const output = execFileSync('unshare', ['--net', '--mount', 'sh', '-ec', prepared, 'sh', ...node], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return JSON.parse(output) as string[];
}

test('auto takes namespaces where they can be had, else user mode with the reason; what is asked for by name is had or refused', () => {
  const [best, fallback, refused, asked, none] = outcomes([
    { settings: {} },
    { path: '/nowhere', settings: {} },
    { path: '/nowhere', settings: { network: 'namespaces' } },
    { settings: { network: 'user' } },
    { settings: { network: 'none' } },
  ]);
  assert.match(
    best ?? '',
    /^namespaces \| .*policies are enforced.* \| policies \| \/dev\/net\/tun could not be opened/,
  );
  assert.match(
    fallback ?? '',
    /^user \| .*not namespaces: ip is not installed \| its sprites use .* \| sprites use user-mode networking/,
  );
  assert.match(refused ?? '', /^host_unfit \| network namespaces cannot be had: ip is not installed/);
  assert.match(asked ?? '', /^user \| (?!.*not namespaces)/);
  assert.match(none ?? '', /^user \| .*switched off/);
});

test('a setting that fits nothing is told as such, and not worked around', () => {
  const said = outcomes([
    { settings: { 'network-allow': '10.1.0.0/16,nonsense' } },
    { settings: { 'dns-upstream': 'not-an-address' } },
    { settings: { 'network-range': '10.0.0.0/30' } },
  ]);
  for (const line of said) assert.match(line, /^invalid_request \| /);
});
