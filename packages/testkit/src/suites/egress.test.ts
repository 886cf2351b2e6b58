import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import type { NetworkDenial } from '@sylph/model';
import { Api } from '../api.ts';
import { TestDaemon } from '../daemon.ts';
import { checkLeaks } from '../leaks.ts';
import { enterOwnNetwork } from '../own-network.ts';
import { node } from '../paths.ts';
import { shell, until } from '../shell.ts';

enterOwnNetwork();
checkLeaks();

/** What a sprite under a policy tries, on an internet of this file behind the uplink of "the host" it runs in. */
const web = '93.1.1.1';
const other = '93.1.1.2';
const inside = '10.50.0.1';
const nameServer = '93.1.1.53';
/** Every name has one address; the rest does not exist. */
const names: Record<string, string> = {
  'web.example': web,
  'www.web.example': web,
  'other.example': other,
  'github.com': other,
  'rebound.example': inside,
};
/** Servers that echo, and a name server that says what it was asked. */
const internetProgram = `
const net = require('node:net'), dgram = require('node:dgram'), names = ${JSON.stringify(names)};
for (const host of ['${web}', '${other}', '${inside}', '${nameServer}'])
  for (const port of host === '${nameServer}' ? [80, 853] : [53, 80, 443, 853])
    net.createServer((s) => { s.on('error', () => {}); s.on('data', (d) => s.write(d)); }).listen(port, host);
const server = dgram.createSocket('udp4');
server.on('message', (question, from) => {
  const labels = [];
  let at = 12;
  for (; question[at] !== 0; at += question[at] + 1) labels.push(question.toString('latin1', at + 1, at + 1 + question[at]));
  console.log(labels.join('.'));
  const address = question.readUInt16BE(at + 1) === 1 ? names[labels.join('.')] : undefined;
  const known = names[labels.join('.')] !== undefined;
  const head = Buffer.from(question.subarray(0, at + 5));
  head.writeUInt16BE(known ? 0x8180 : 0x8183, 2);
  head.writeUInt16BE(address ? 1 : 0, 6);
  head.writeUInt16BE(0, 10);
  const record = address ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]) : Buffer.alloc(0);
  server.send(Buffer.concat([head, record]), from.port, from.address);
}).bind(53, '${nameServer}', () => console.log('ready'));
process.stdin.on('end', () => process.exit()).resume();
`;
/** What the name server was asked. */
const asked: string[] = [];
let closeInternet: () => Promise<void>;

before(async () => {
  const addresses = [web, other, inside, nameServer];
  await shell('sh', [
    '-ec',
    `ip netns add internet
    ip link add uplink type veth peer name world netns internet
    ip addr add 93.9.9.2/24 dev uplink; ip link set uplink up; ip -n internet link set lo up
    ip -n internet addr add 93.9.9.1/24 dev world; ip -n internet link set world up
    for address in ${addresses.join(' ')}; do ip -n internet addr add $address/32 dev lo; done
    ip route add default via 93.9.9.1`,
  ]);
  const child = spawn('ip', ['netns', 'exec', 'internet', node, '-e', internetProgram]);
  child.stderr.pipe(process.stderr);
  child.stdout.on('data', (chunk: Buffer) => asked.push(...chunk.toString().trim().split('\n')));
  await once(child.stdout, 'data');
  closeInternet = async () => {
    const gone = once(child, 'exit');
    child.stdin.end();
    await gone;
    await shell('sh', ['-ec', 'ip link del uplink; ip netns del internet']);
  };
});

after(() => closeInternet());

const path = '/v1/sprites/box/policy/network';
const allow = (domain: string, ports?: number[]) => ({ domain, action: 'allow', ...(ports ? { ports } : {}) });

test('a sprite reaches what its policy allows, by any way it tries', async () => {
  await using daemon = await TestDaemon.start({
    settings: { network: 'namespaces', 'network-slots': '1', 'dns-upstream': `${nameServer}:53` },
  });
  const api = new Api(daemon);
  await api.create('box');
  const set = (rules: unknown[]): Promise<unknown> => api.ok('POST', path, { rules });
  const reach = async (address: string, port = 80): Promise<boolean> =>
    (await api.sh('box', `timeout 5 bash -c 'exec 3<>/dev/tcp/${address}/${port}' 2>/dev/null`)).exitCode === 0;
  const looksUp = async (name: string): Promise<boolean> =>
    (await api.sh('box', `getent ahostsv4 ${name} >/dev/null`)).exitCode === 0;

  // Without a policy: other name servers than ours are out of reach all the same.
  assert.equal(await reach(web), true);
  for (const port of [53, 853]) assert.equal(await reach(web, port), false, `port ${port}`);

  await set([allow('web.example', [80]), { cidr: `${other}/32`, action: 'allow', ports: [443] }]);
  assert.equal(await reach(web), false, 'no name has led there');
  assert.equal(await looksUp('web.example'), true);
  assert.deepEqual([await reach(web), await reach(web, 443)], [true, false], 'the ports of the rule');
  assert.deepEqual([await reach(other, 443), await reach(other)], [true, false]);
  // Which name led to an address is known as long as its policy holds: it is written down now.
  await api.ok('GET', `${path}/log`);
  for (const name of ['other.example', 'www.web.example', 'secret-data.tunnel.example'])
    assert.equal(await looksUp(name), false, name);
  assert.ok(!asked.some((name) => name.includes('tunnel') || name === 'other.example'), asked.join());

  // A name that leads inside.
  await set([allow('*')]);
  assert.equal(await looksUp('rebound.example'), false);
  assert.equal(await reach(inside), false);
  assert.equal(await looksUp('other.example'), true);

  // Over TCP the same: a question for web.example, type A.
  const question =
    '\\000\\035\\022\\064\\001\\000\\000\\001\\000\\000\\000\\000\\000\\000\\003web\\007example\\000\\000\\001\\000\\001';
  const answer = await api.text(
    'box',
    `timeout 5 bash -c 'exec 3<>/dev/tcp/10.0.0.2/53; printf "${question}" >&3; head -c 47 <&3' | od -An -tu1 | tr -s ' \\n' ' '`,
  );
  assert.match(answer, new RegExp(`${web.replaceAll('.', ' ')}$`));

  // What is said later holds for connections there are.
  await api.text(
    'box',
    `setsid bash -c 'exec 3<>/dev/tcp/${web}/80; echo open >/tmp/talk; trap "" PIPE; while echo word >&3; do sleep 0.2; done; echo cut >>/tmp/talk' </dev/null >/dev/null 2>&1 &
    for i in 1 2 3 4 5 6 7 8 9 10; do grep -q open /tmp/talk && break; sleep 0.3; done; cat /tmp/talk`,
  );
  await set([allow('github.com')]);
  await until('the connection to be cut', async () => (await api.text('box', 'tail -n 1 /tmp/talk')) === 'cut');

  // The log tells it all.
  const { denials } = (await api.ok('GET', `${path}/log?limit=1000`)) as { denials: NetworkDenial[] };
  const reasons = new Map(
    denials.map(({ target, port, reason }) => [port === null ? target : `${target}:${port}`, reason]),
  );
  for (const [target, reason] of [
    ['other.example', 'policy'],
    ['secret-data.tunnel.example', 'policy'],
    ['rebound.example', 'rebinding'],
    [`${inside}:80`, 'special-range'],
    [`${web}:853`, 'foreign-dns'],
    [`${web}:443`, 'other-port'],
    [`${other}:80`, 'policy'],
  ] as const)
    assert.equal(reasons.get(target), reason, `${target} in ${JSON.stringify([...reasons])}`);

  // The organization's holds where there is none of its own, with the defaults it includes, and is shown inside.
  await api.ok('PUT', '/v1/policy/network', { rules: [{ include: 'defaults' }] });
  assert.equal(await looksUp('github.com'), true);
  await api.ok('DELETE', path);
  assert.deepEqual([await looksUp('github.com'), await looksUp('web.example')], [true, false]);
  assert.equal(await reach(other), true);
  assert.deepEqual(JSON.parse(await api.text('box', 'cat /.sprite/policy/network.json')), {
    rules: [{ include: 'defaults' }],
  });
  assert.deepEqual(await api.ok('GET', path), { rules: [{ include: 'defaults' }], source: 'organization' });
  await api.ok('DELETE', '/v1/policy/network');
  assert.equal(await looksUp('web.example'), true);

  // What was denied stays known while it sleeps, and a fork begins with a clean sheet but the same policy.
  await set([allow('web.example')]);
  await looksUp('last.example');
  await api.ok('POST', '/v1/sprites/box/suspend');
  await until('the log to be written', async () =>
    (await api.ok('GET', `${path}/log`)).denials.some(({ target }: NetworkDenial) => target === 'last.example'),
  );
  await api.ok('POST', '/v1/sprites/box/fork', { name: 'twin' });
  assert.deepEqual(await api.ok('GET', '/v1/sprites/twin/policy/network'), {
    rules: [allow('web.example')],
    source: 'sprite',
  });
  assert.deepEqual((await api.ok('GET', '/v1/sprites/twin/policy/network/log')).denials, []);
  assert.equal((await api.sh('twin', 'getent ahostsv4 other.example')).exitCode, 2);
});
