import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import { before, test } from 'node:test';
import { Api } from '../api.ts';
import { TestDaemon, vmsBelow } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { enterOwnNetwork } from '../own-network.ts';
import { node } from '../paths.ts';
import { shell, until } from '../shell.ts';

enterOwnNetwork();
checkLeaks(async () => {
  hostServer.close();
  await closeInternet();
});

/** Real sprites in real slots, on an internet of one web server behind the uplink of "the host" this file runs in. */
const web = '93.1.1.1';
const internetProgram = `
const net = require('node:net'), dgram = require('node:dgram');
for (const host of ['${web}', '10.50.0.1', '169.254.169.254'])
  net.createServer((s) => { s.on('error', () => {}); s.write('hello\\n'); s.on('data', (d) => s.write(d)); }).listen(80, host);
const ns = dgram.createSocket('udp4');
ns.on('message', (q, from) => {
  const end = q.indexOf(0, 12) + 5, a = q.subarray(0, end), type = q.readUInt16BE(end - 4);
  const head = Buffer.from(a); head[2] = 0x81; head[3] = 0x80; head.writeUInt16BE(0, 8); head.writeUInt16BE(0, 10); head.writeUInt16BE(type === 1 ? 1 : 0, 6);
  ns.send(type === 1 ? Buffer.concat([head, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...'${web}'.split('.').map(Number)])]) : head, from.port, from.address);
}).bind(53, '${web}', () => console.log('ready'));
process.stdin.on('end', () => process.exit()).resume();
`;
let closeInternet: () => Promise<void>;
let hostServer: net.Server;
const settings = { network: 'namespaces', 'network-slots': '2', 'network-linger': '60', 'dns-upstream': `${web}:53` };

before(async () => {
  await shell('sh', [
    '-ec',
    `
    ip netns add internet
    ip link add uplink type veth peer name world netns internet
    ip addr add 93.9.9.2/24 dev uplink; ip link set uplink up; ip -n internet link set lo up
    ip -n internet addr add 93.9.9.1/24 dev world; ip -n internet link set world up
    for address in ${web} 10.50.0.1 169.254.169.254; do ip -n internet addr add $address/32 dev lo; done
    ip route add default via 93.9.9.1`,
  ]);
  const child = spawn('ip', ['netns', 'exec', 'internet', node, '-e', internetProgram]);
  child.stderr.pipe(process.stderr);
  await once(child.stdout, 'data');
  hostServer = net.createServer((socket) => socket.end('host\n')).listen(7070, '0.0.0.0');
  await once(hostServer, 'listening');
  closeInternet = async () => {
    const gone = once(child, 'exit');
    child.stdin.end();
    await gone;
    await shell('sh', ['-ec', 'ip link del uplink; ip netns del internet']);
  };
});

/** A line of bash that tells how connecting ended. */
const reach = (address: string, port: number): string =>
  `timeout 5 bash -c 'exec 3<>/dev/tcp/${address}/${port}' </dev/null >/dev/null 2>&1 && echo reached || echo refused`;

test('a sprite reaches the internet and names, and nothing of the host or private', async () => {
  await using daemon = await TestDaemon.start({ settings });
  const api = new Api(daemon);
  const { network } = await api.ok('GET', '/v1/host');
  assert.equal(network.kind, 'namespaces');
  await api.create('box');
  assert.equal(await api.text('box', reach(web, 80)), 'reached');
  assert.equal(await api.text('box', 'getent ahostsv4 web.example | head -n 1 | cut -d " " -f 1'), web);
  for (const [address, port] of [
    ['10.0.0.2', 7070],
    ['93.9.9.2', 7070],
    ['198.18.0.1', 7070],
    ['10.50.0.1', 80],
    ['169.254.169.254', 80],
    ['fdf::2', 7070],
  ] as const)
    assert.equal(await api.text('box', reach(address, port)), 'refused', address);
  const account = await hypervisorStatus(daemon);
  assert.match(account, /^Uid:\t(\d+)\t\1\t\1\t\1$/m);
  assert.match(account, /^Groups:\t ?$/m);
  assert.match(account, /^CapEff:\t0+$/m);
  assert.match(account, /^Seccomp:\t2$/m);
});

test('a short sleep cuts no connection; a fork has no part in it; a daemon that comes back goes on with it', async () => {
  await using first = await TestDaemon.start({ settings: { ...settings, 'on-shutdown': 'leave' } });
  const api = new Api(first);
  await api.create('box');
  await api.text(
    'box',
    `mkfifo /tmp/say
cat >/tmp/talker <<'END'
exec 3<>/dev/tcp/${web}/80; read -r hello <&3; echo $hello >/tmp/talk
while read -r line </tmp/say; do
  echo "$line" >&3; if read -r -t 5 answer <&3; then echo "got $answer" >>/tmp/talk; else echo broken >>/tmp/talk; fi
done
END
setsid bash /tmp/talker </dev/null >/dev/null 2>&1 & sleep 1`,
  );
  const talk = async (name: string, word: string): Promise<string> => {
    await api.text(name, `timeout 5 sh -c 'echo ${word} >/tmp/say'`);
    return until('an answer', async () => {
      const lines = (await api.text(name, 'cat /tmp/talk')).split('\n');
      return lines.at(-1) === 'broken' || lines.at(-1)?.endsWith(word) ? lines.at(-1) : undefined;
    });
  };
  assert.equal(await talk('box', 'one'), 'got one');
  await api.ok('POST', '/v1/sprites/box/suspend');
  assert.equal(await talk('box', 'two'), 'got two', 'it goes on where it was');
  await api.ok('POST', '/v1/sprites/box/fork', { name: 'twin' });
  assert.equal(await talk('twin', 'three'), 'broken');
  assert.equal(await talk('box', 'four'), 'got four');
  assert.equal(await api.text('twin', reach(web, 80)), 'reached');

  await using second = await first.restart('stop', { settings });
  const later = new Api(second);
  assert.match(
    await later.text('box', "timeout 5 sh -c 'echo five >/tmp/say'; sleep 1; tail -n 1 /tmp/talk"),
    /got five/,
  );
  assert.equal(await later.text('twin', reach(web, 80)), 'reached');
});

test('a policy is in force before its sprite runs, and changes while it runs', async () => {
  await using daemon = await TestDaemon.start({ settings });
  const api = new Api(daemon);
  await api.create('box');
  const set = (rules: unknown[]): Promise<unknown> => api.ok('POST', '/v1/sprites/box/policy/network', { rules });
  await set([{ domain: 'web.example', action: 'allow' }]);
  assert.equal(await api.text('box', reach(web, 80)), 'refused');
  assert.equal(await api.text('box', 'getent ahostsv4 web.example >/dev/null && echo found'), 'found');
  assert.equal(await api.text('box', reach(web, 80)), 'reached');
  assert.equal((await api.sh('box', 'getent ahostsv4 other.example')).exitCode, 2);
  await api.ok('POST', '/v1/sprites/box/suspend');
  await set([{ domain: 'other.example', action: 'allow' }]);
  assert.equal(await api.text('box', reach(web, 80)), 'refused');
  await set([]);
  assert.equal(await api.text('box', reach(web, 80)), 'reached');
});

test('a sprite keeps its memory when its host changes from one network to the other, and finds its way', async () => {
  let daemon = await TestDaemon.start({ settings: { ...settings, network: 'user' } });
  try {
    let api = new Api(daemon);
    await api.create('box');
    const boot = 'cat /proc/sys/kernel/random/boot_id';
    const booted = await api.text('box', boot);
    assert.equal(await api.text('box', reach(web, 80)), 'reached');
    assert.equal(await api.text('box', reach('10.50.0.1', 80)), 'refused');
    const started = performance.now();
    assert.equal(await api.text('box', reach('2a00:1::1', 80)), 'refused');
    assert.ok(performance.now() - started < 2_500, 'nobody waits for IPv6 that is not there');
    for (const network of ['namespaces', 'user']) {
      daemon = await daemon.restart('stop', { settings: { ...settings, network } });
      api = new Api(daemon);
      assert.equal((await api.ok('GET', '/v1/host')).network.kind, network);
      assert.equal(await api.text('box', boot), booted);
      assert.equal(await api.text('box', reach(web, 80)), 'reached');
    }
  } finally {
    await daemon[Symbol.asyncDispose]();
  }
});

/** What the kernel says about the one hypervisor there is. */
async function hypervisorStatus(daemon: TestDaemon): Promise<string> {
  const [pid] = await vmsBelow(daemon.dataDir);
  assert.notEqual(await fs.readlink(`/proc/${pid}/ns/net`), await fs.readlink('/proc/self/ns/net'));
  return fs.readFile(`/proc/${pid}/status`, 'utf8');
}
