import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkRule } from '@sylph/model';
import type { Answer } from 'dns-packet';
import type { AdmittedAddress, DnsClient } from './client.ts';
import { DnsForwarder, type DnsForwarderOptions } from './forwarder.ts';
import { compilePolicy } from './policy.ts';
import { askTcp, askUdp, queryBytes } from './testing/asker.ts';
import { NameServer } from './testing/name-server.ts';

const a = (name: string, data: string, ttl = 300): Answer => ({ type: 'A', name, data, ttl });
const cname = (name: string, data: string, ttl = 300): Answer => ({ type: 'CNAME', name, data, ttl });
const soa = (name: string): Answer => ({
  type: 'SOA',
  name,
  ttl: 60,
  data: { mname: 'ns.example.com', rname: 'x.example.com', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 60 },
});

/** A sprite that keeps what it hears. */
class TestClient implements DnsClient {
  policy;
  readonly admitted: AdmittedAddress[] = [];
  readonly denials: string[] = [];
  onAdmit: () => Promise<void> | void = () => undefined;

  constructor(rules: NetworkRule[] = []) {
    this.policy = compilePolicy({ rules }, []);
  }

  async admit(answers: readonly AdmittedAddress[]): Promise<void> {
    await this.onAdmit();
    this.admitted.push(...answers);
  }

  denied(name: string, reason: string): void {
    this.denials.push(`${reason} ${name}`);
  }

  get addresses(): string[] {
    return this.admitted.map(({ name, address, ports }) => [name, address, ...(ports ?? [])].join(' '));
  }
}

async function forwarder(
  server: NameServer | undefined,
  client: DnsClient | undefined,
  options: Partial<DnsForwarderOptions> = {},
): Promise<DnsForwarder & { port: number }> {
  const made = new DnsForwarder({
    listen: [{ address: '127.0.0.1', port: 0 }],
    upstreams: server ? [server.upstream] : [],
    clientOf: () => client,
    ...options,
  });
  await made.open();
  return Object.assign(made, { port: made.ports[0] as number });
}

/** Resolves when a connection has ended, in order or not. */
const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => void socket.on('error', () => undefined).once('close', () => resolve()));

const allow = (domain: string, ports?: number[]): NetworkRule => ({
  domain,
  action: 'allow',
  ...(ports ? { ports } : {}),
});

test('an allowed name is answered after its addresses are admitted, a denied one REFUSED without being asked for', async () => {
  await using server = await new NameServer(({ name }) => ({
    answers: [a(name, '93.184.216.34'), a(name, '93.184.216.35')],
  })).open();
  const client = new TestClient([allow('example.com', [443]), allow('*.foo.dev')]);
  await using dns = await forwarder(server, client);
  const order: string[] = [];
  client.onAdmit = async () => {
    await sleep(50);
    order.push('admitted');
  };
  const heard = await askUdp(dns.port, 'A EXAMPLE.com');
  order.push('answered');
  assert.deepEqual(order, ['admitted', 'answered']);
  assert.deepEqual(heard?.lines, ['EXAMPLE.com A 93.184.216.34', 'EXAMPLE.com A 93.184.216.35']);
  assert.deepEqual(client.addresses, ['example.com 93.184.216.34 443', 'example.com 93.184.216.35 443']);
  assert.equal(client.admitted[0]?.ttlS, 360, 'a minute longer than the answer lives');
  assert.equal((await askUdp(dns.port, 'A evil.example'))?.rcode, 'REFUSED');
  assert.equal((await askUdp(dns.port, 'A foo.dev'))?.rcode, 'REFUSED');
  assert.equal((await askUdp(dns.port, 'TXT data.evil.example'))?.rcode, 'REFUSED');
  assert.deepEqual(client.denials, ['policy evil.example', 'policy foo.dev', 'policy data.evil.example']);
  assert.deepEqual(server.asked, ['udp A example.com']);
});

test('an answer is as the question: its id, and over TCP one after the other', async () => {
  await using server = await new NameServer(({ name }) => ({ answers: [a(name, '93.184.216.34')] })).open();
  await using dns = await forwarder(server, new TestClient());
  const names = Array.from({ length: 20 }, (_, index) => `n${index}.example.com`);
  const heard = await askTcp(
    dns.port,
    names.map((name) => `A ${name}`),
  );
  assert.deepEqual(
    heard.map(({ lines }) => lines[0]),
    names.map((name) => `${name} A 93.184.216.34`),
  );
  assert.ok(heard.every(({ id }) => id === 0x1234));
});

test('aliases are followed, and count as the answer of the name that was asked for', async () => {
  await using server = await new NameServer(({ name }) => {
    if (name === 'www.example.com')
      return { answers: [cname(name, 'cdn.other.net'), cname('cdn.other.net', 'edge.third.org')] };
    if (name === 'edge.third.org') return { answers: [a(name, '93.184.216.34', 10)] };
    return { rcode: 3 };
  }).open();
  const client = new TestClient([allow('www.example.com', [80])]);
  await using dns = await forwarder(server, client);
  const heard = await askUdp(dns.port, 'A www.example.com');
  assert.deepEqual(heard?.lines, [
    'www.example.com CNAME cdn.other.net',
    'cdn.other.net CNAME edge.third.org',
    'edge.third.org A 93.184.216.34',
  ]);
  assert.deepEqual(client.addresses, ['www.example.com 93.184.216.34 80']);
  assert.deepEqual(server.asked, ['udp A www.example.com', 'udp A edge.third.org']);
  assert.equal((await askUdp(dns.port, 'A edge.third.org'))?.rcode, 'REFUSED', 'by itself it is not allowed');
});

test('an alias that leads to a denied or a local name is refused', async () => {
  await using server = await new NameServer(({ name }) => ({
    answers:
      name === 'a.example.com'
        ? [cname(name, 'tracker.evil.net'), a('tracker.evil.net', '93.184.216.34')]
        : [cname(name, 'router.lan'), a('router.lan', '93.184.216.34')],
  })).open();
  const client = new TestClient([
    allow('*.example.com'),
    { domain: '*.evil.net', action: 'deny' },
    { domain: '*', action: 'deny' },
  ]);
  await using dns = await forwarder(server, client);
  assert.equal((await askUdp(dns.port, 'A a.example.com'))?.rcode, 'REFUSED');
  assert.equal((await askUdp(dns.port, 'A b.example.com'))?.rcode, 'REFUSED');
  assert.deepEqual(client.denials, ['policy a.example.com', 'rebinding b.example.com']);
  assert.deepEqual(client.admitted, []);
});

test('aliases in a circle, or without end, are an error and not a search without end', async () => {
  let hop = 0;
  await using server = await new NameServer(({ name }) => ({
    answers: name.startsWith('loop')
      ? [cname('loop1.example.com', 'loop2.example.com'), cname('loop2.example.com', 'loop1.example.com')]
      : [cname(name, `far${hop++}.example.com`)],
  })).open();
  await using dns = await forwarder(server, new TestClient());
  assert.equal((await askUdp(dns.port, 'A loop1.example.com'))?.rcode, 'SERVFAIL');
  assert.equal((await askUdp(dns.port, 'A far.example.com'))?.rcode, 'SERVFAIL');
  assert.ok(hop <= 17, `${hop} names were asked for`);
});

test('records that the question does not lead to are left out and never admitted', async () => {
  await using server = await new NameServer(({ name }) => ({
    answers: [a('other.example.net', '93.184.216.1'), a(name, '93.184.216.34')],
    authorities: [{ type: 'NS', name: 'example.com', data: 'ns.evil.net' }],
    additionals: [a('ns.evil.net', '93.184.216.2')],
  })).open();
  const client = new TestClient();
  await using dns = await forwarder(server, client);
  assert.deepEqual((await askUdp(dns.port, 'A example.com'))?.lines, ['example.com A 93.184.216.34']);
  assert.deepEqual(client.addresses, ['example.com 93.184.216.34']);
});

test('answers into special ranges lose those addresses, and are refused where nothing else is left', async () => {
  const addresses: Record<string, string[]> = {
    'mixed.example.com': ['10.0.0.1', '93.184.216.34', '169.254.169.254', '127.0.0.1'],
    'metadata.example.com': ['169.254.169.254'],
    'open.example.com': ['10.1.2.3'],
    'zero.example.com': ['0.0.0.0'],
    'nat.example.com': ['100.64.0.1'],
  };
  await using server = await new NameServer(({ name, type }) => ({
    answers:
      type === 'A'
        ? (addresses[name] ?? []).map((address) => a(name, address))
        : ['::1', '::ffff:10.0.0.1', 'fd00::1', 'fe80::1', '64:ff9b::a00:1'].map((data) => ({
            type: 'AAAA',
            name,
            data,
            ttl: 9,
          })),
  })).open();
  const client = new TestClient();
  await using dns = await forwarder(server, client, { allowedSpecial: ['10.1.0.0/16'] });
  assert.deepEqual((await askUdp(dns.port, 'A mixed.example.com'))?.lines, ['mixed.example.com A 93.184.216.34']);
  for (const name of ['metadata', 'zero', 'nat'])
    assert.equal((await askUdp(dns.port, `A ${name}.example.com`))?.rcode, 'REFUSED', name);
  assert.equal((await askUdp(dns.port, 'AAAA six.example.com'))?.rcode, 'REFUSED');
  assert.deepEqual((await askUdp(dns.port, 'A open.example.com'))?.lines, ['open.example.com A 10.1.2.3']);
  assert.deepEqual(client.addresses, ['mixed.example.com 93.184.216.34', 'open.example.com 10.1.2.3']);
  assert.deepEqual(
    client.denials,
    ['metadata', 'zero', 'nat', 'six'].map((name) => `rebinding ${name}.example.com`),
  );
});

test('local names and reverse names of special ranges never leave the host', async () => {
  await using server = await new NameServer(() => ({ rcode: 3, authorities: [soa('arpa')] })).open();
  const client = new TestClient();
  await using dns = await forwarder(server, client);
  for (const question of [
    'A printer',
    'A db.local',
    'AAAA x.y.internal',
    'A localhost',
    'A router.home.arpa',
    'TXT a.onion',
    'A corp',
    'PTR 1.0.0.10.in-addr.arpa',
    'PTR 168.192.in-addr.arpa',
    'PTR 254.169.254.169.in-addr.arpa',
    'SOA 16.172.in-addr.arpa',
    `PTR ${'0.'.repeat(31)}f.ip6.arpa`,
    'PTR 8.e.f.ip6.arpa',
    'PTR x.0-63.1.0.10.in-addr.arpa',
  ])
    assert.equal((await askUdp(dns.port, question))?.rcode, 'NXDOMAIN', question);
  assert.deepEqual(server.asked, []);
  assert.deepEqual(client.denials, []);
  await askUdp(dns.port, 'PTR 8.8.8.8.in-addr.arpa');
  assert.deepEqual(server.asked, ['udp PTR 8.8.8.8.in-addr.arpa']);
});

test('names of local networks lead only into what an operator has opened', async () => {
  await using server = await new NameServer(({ name }) => ({
    answers: [a(name, name.startsWith('db') ? '10.1.2.3' : '93.184.216.34')],
  })).open();
  const client = new TestClient();
  await using dns = await forwarder(server, client, { allowedSpecial: ['10.1.0.0/16'] });
  assert.deepEqual((await askUdp(dns.port, 'A db.corp'))?.lines, ['db.corp A 10.1.2.3']);
  assert.equal((await askUdp(dns.port, 'A www.corp'))?.rcode, 'REFUSED');
  assert.equal((await askUdp(dns.port, 'TXT db.corp'))?.rcode, 'NXDOMAIN');
});

test('only questions of a sprite about the internet are looked up', async () => {
  await using server = await new NameServer(() => ({ answers: [] })).open();
  await using dns = await forwarder(server, new TestClient());
  for (const [question, rcode] of [
    ['ANY example.com', 'REFUSED'],
    ['AXFR example.com', 'REFUSED'],
    ['TXT version.bind CH', 'REFUSED'],
    ['NULL example.com', 'NOTIMP'],
    ['DNSKEY example.com', 'NOTIMP'],
  ] as const)
    assert.equal((await askUdp(dns.port, question))?.rcode, rcode, question);
  const update = queryBytes('A example.com');
  update.writeUInt8(5 << 3, 2);
  assert.equal((await askUdp(dns.port, update))?.rcode, 'NOTIMP');
  const answer = queryBytes('A example.com');
  answer.writeUInt8(0x80, 2);
  assert.equal(await askUdp(dns.port, answer, { waitMs: 200 }), undefined, 'an answer is never answered');
  assert.deepEqual(server.asked, []);
});

test('hints of HTTPS records are left out', async () => {
  const parameter = (key: number, value: string): Buffer => {
    const bytes = Buffer.from(value, 'hex');
    const head = Buffer.alloc(4);
    head.writeUInt16BE(key);
    head.writeUInt16BE(bytes.length, 2);
    return Buffer.concat([head, bytes]);
  };
  const alpn = parameter(1, '026832');
  const data = Buffer.concat([
    Buffer.from('000100', 'hex'),
    alpn,
    parameter(4, '0a000001'),
    parameter(6, 'fd'.repeat(16)),
  ]);
  const mandatory = Buffer.concat([Buffer.from('000100', 'hex'), parameter(0, '0004'), parameter(4, '01010101')]);
  await using server = await new NameServer(({ name }) => ({
    answers: [data, mandatory, Buffer.from('0001', 'hex')].map(
      (bytes) => ({ type: 'UNKNOWN_65', name, ttl: 60, data: bytes }) as unknown as Answer,
    ),
  })).open();
  const client = new TestClient();
  await using dns = await forwarder(server, client);
  const heard = await askUdp(dns.port, 'UNKNOWN_65 example.com');
  const [record, ...more] = heard?.answers ?? [];
  assert.deepEqual(more, []);
  assert.deepEqual(
    (record as { data?: unknown } | undefined)?.data,
    Buffer.concat([Buffer.from('000100', 'hex'), alpn]),
  );
  assert.deepEqual(client.admitted, []);
});

test('records of the other types are passed on', async () => {
  const records: Record<string, unknown> = {
    MX: { preference: 10, exchange: 'mail.example.com' },
    TXT: [Buffer.from('v=spf1 -all')],
    SRV: { port: 5060, priority: 1, weight: 2, target: 'sip.example.com' },
    NS: 'ns.example.com',
    CAA: { flags: 0, tag: 'issue', value: 'letsencrypt.org', issuerCritical: false },
    PTR: 'example.com',
    CNAME: 'www.example.org',
  };
  await using server = await new NameServer(({ name, type }) => ({
    answers: [{ type, name, ttl: 60, data: records[type] } as Answer],
  })).open();
  await using dns = await forwarder(server, new TestClient());
  for (const type of Object.keys(records)) {
    const heard = await askUdp(dns.port, `${type} x.example.com`);
    assert.equal(heard?.rcode, 'NOERROR', type);
    assert.equal(heard?.answers[0]?.type, type);
  }
});

test('an answer is kept for its time, for the sprite that asked alone, and each time admitted', async () => {
  let addresses = 0;
  await using server = await new NameServer(({ name }) => ({
    answers: [a(name, `93.184.216.${++addresses}`, 20)],
  })).open();
  const [one, other] = [new TestClient(), new TestClient()];
  let current = one;
  await using dns = await forwarder(server, undefined, { clientOf: () => current });
  await askUdp(dns.port, 'A example.com');
  const again = await askUdp(dns.port, 'A example.com');
  assert.deepEqual(again?.lines, ['example.com A 93.184.216.1']);
  assert.equal(one.admitted.length, 2);
  current = other;
  assert.deepEqual((await askUdp(dns.port, 'A example.com'))?.lines, ['example.com A 93.184.216.2']);
  current = one;
  one.policy = compilePolicy({ rules: [allow('example.org')] }, []);
  assert.equal((await askUdp(dns.port, 'A example.com'))?.rcode, 'REFUSED', 'what is kept is judged anew');
});

test('lives of answers are bounded both ways', async () => {
  const lives: Record<string, number> = { 'short.example.com': 0, 'long.example.com': 1_000_000 };
  await using server = await new NameServer(({ name }) => ({
    answers: [a(name, '93.184.216.34', lives[name] ?? 0)],
  })).open();
  const client = new TestClient();
  await using dns = await forwarder(server, client);
  await askUdp(dns.port, 'A short.example.com');
  await askUdp(dns.port, 'A long.example.com');
  assert.deepEqual(
    client.admitted.map(({ ttlS }) => ttlS),
    [65, 3_660],
  );
});

test('what does not exist is said with its SOA, and kept', async () => {
  await using server = await new NameServer(() => ({ rcode: 3, authorities: [soa('example.com')] })).open();
  await using dns = await forwarder(server, new TestClient());
  assert.equal((await askUdp(dns.port, 'A no.example.com'))?.rcode, 'NXDOMAIN');
  assert.equal((await askUdp(dns.port, 'A no.example.com'))?.rcode, 'NXDOMAIN');
  assert.equal(server.asked.length, 1);
});

test('an answer that the policy has overtaken does not go out', async () => {
  await using server = await new NameServer(({ name }) => ({ answers: [a(name, '93.184.216.34')] })).open();
  const client = new TestClient();
  await using dns = await forwarder(server, client);
  client.onAdmit = () => void (client.policy = compilePolicy({ rules: [allow('example.org')] }, []));
  assert.equal((await askUdp(dns.port, 'A example.com'))?.rcode, 'REFUSED');
});

test('addresses that cannot be admitted are not answered', async () => {
  await using server = await new NameServer(({ name }) => ({ answers: [a(name, '93.184.216.34')] })).open();
  const client = new TestClient();
  await using dns = await forwarder(server, client);
  client.onAdmit = () => Promise.reject(new Error('no room'));
  assert.equal((await askUdp(dns.port, 'A example.com'))?.rcode, 'SERVFAIL');
  client.onAdmit = () => new Promise(() => undefined);
  assert.equal((await askUdp(dns.port, 'A example.com'))?.rcode, 'SERVFAIL');
});

test('a long answer is cut over UDP and whole over TCP, from name server to sprite', async () => {
  const answers = Array.from({ length: 60 }, (_, index) => a('example.com', `93.184.216.${index}`));
  await using server = await new NameServer((_, transport) =>
    transport === 'udp' ? { truncated: true } : { answers },
  ).open();
  await using dns = await forwarder(server, new TestClient());
  const cut = await askUdp(dns.port, 'A example.com');
  assert.equal(cut?.truncated, true);
  assert.equal(cut?.lines.length, 30, 'as many as 512 bytes hold, for clients that know no TCP');
  assert.ok(cut.sizeBytes <= 512);
  const [whole] = await askTcp(dns.port, ['A example.com']);
  assert.equal(whole?.lines.length, 60);
  const wide = await askUdp(dns.port, 'A example.com', { edns: 65_000 });
  assert.deepEqual([wide?.truncated, wide?.lines.length], [false, 60]);
  assert.ok((wide?.sizeBytes ?? 0) < 1_232);
  assert.deepEqual(server.asked, ['udp A example.com', 'tcp A example.com']);
});

test('answers from elsewhere, to another id or another question are passed over', async () => {
  const evil = [a('example.com', '93.184.216.66')];
  let mode = 0;
  await using server = await new NameServer(({ name }) => {
    if (name !== 'example.com') return undefined;
    mode += 1;
    if (mode === 1) return { fromElsewhere: evil };
    if (mode === 2) return { answers: evil, id: 1 };
    return { answers: [a(name, '93.184.216.34')] };
  }).open();
  await using second = await new NameServer(({ name }) => {
    mode += 1;
    return mode === 2
      ? { answers: evil, question: { type: 'A', name: 'evil.com' } }
      : { answers: [a(name, '93.184.216.34')] };
  }).open();
  const client = new TestClient();
  await using dns = await forwarder(server, client, { upstreams: [server.upstream, second.upstream] });
  assert.deepEqual((await askUdp(dns.port, 'A example.com'))?.lines, ['example.com A 93.184.216.34']);
  assert.deepEqual(client.addresses, ['example.com 93.184.216.34']);
});

test('every question comes from a port of its own with an id of its own', async () => {
  await using server = await new NameServer(({ name }) => ({ answers: [a(name, '93.184.216.34')] })).open();
  await using dns = await forwarder(server, new TestClient());
  for (let index = 0; index < 12; index++) await askUdp(dns.port, `A n${index}.example.com`);
  assert.ok(new Set(server.sources.map(({ port }) => port)).size >= 10);
  assert.ok(new Set(server.sources.map(({ id }) => id)).size >= 10);
});

test('a name server that is silent, broken, late or unwilling is left for the next', async () => {
  const kinds: Record<string, ConstructorParameters<typeof NameServer>[0]> = {
    silent: () => undefined,
    broken: () => ({
      raw: (query) => Buffer.concat([query.subarray(0, 2), Buffer.from('8180000100050000', 'hex'), query.subarray(10)]),
    }),
    failing: () => ({ rcode: 2 }),
    late: ({ name }) => ({ answers: [a(name, '93.184.216.66')], delayMs: 3_000 }),
  };
  await using good = await new NameServer(({ name }) => ({ answers: [a(name, '93.184.216.34')] })).open();
  await Promise.all(
    Object.entries(kinds).map(async ([kind, say]) => {
      await using bad = await new NameServer(say).open();
      await using dns = await forwarder(undefined, new TestClient(), { upstreams: [bad.upstream, good.upstream] });
      assert.deepEqual(
        (await askUdp(dns.port, `A ${kind}.example.com`))?.lines,
        [`${kind}.example.com A 93.184.216.34`],
        kind,
      );
    }),
  );
  await using nobody = await forwarder(undefined, new TestClient(), { upstreams: ['127.0.0.1:1'] });
  assert.equal((await askUdp(nobody.port, 'A example.com'))?.rcode, 'SERVFAIL');
});

test("the host's own name servers are asked, and read again when they change", async () => {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'sylph-dns-'));
  const say = (address: string) => new NameServer(({ name }) => ({ answers: [a(name, address)] }));
  await using first = await say('93.184.216.1').open('127.0.77.1', 53);
  await using second = await say('93.184.216.2').open('127.0.77.2', 53);
  try {
    const resolvConf = path.join(dir, 'resolv.conf');
    await fs.writeFile(resolvConf, '# of a test\nsearch example.org\nnameserver 127.0.77.1\nnameserver what\n');
    await using dns = await forwarder(undefined, new TestClient(), { upstreams: [], resolvConf });
    assert.deepEqual((await askUdp(dns.port, 'A one.example.com'))?.lines, ['one.example.com A 93.184.216.1']);
    await fs.writeFile(resolvConf, 'nameserver 127.0.77.2\n');
    await sleep(5_100);
    assert.deepEqual((await askUdp(dns.port, 'A two.example.com'))?.lines, ['two.example.com A 93.184.216.2']);
    assert.deepEqual([first.asked.length, second.asked.length], [1, 1]);
  } finally {
    await fs.rm(dir, { recursive: true });
  }
});

test('a sprite that asks too much is dropped and told of once, and others are answered', async () => {
  await using server = await new NameServer(({ name }) => ({ answers: [a(name, '93.184.216.34')] })).open();
  const [flooding, other] = [new TestClient(), new TestClient()];
  let current = flooding;
  await using dns = await forwarder(server, undefined, { clientOf: () => current });
  await askUdp(dns.port, 'A example.com');
  const answered = await Promise.all(
    Array.from({ length: 40 }, () =>
      askTcp(
        dns.port,
        Array.from({ length: 10 }, () => 'A example.com'),
      ),
    ),
  );
  const count = answered.flat().length;
  assert.ok(count >= 50 && count < 330, `${count} of 400 answered`);
  assert.ok(flooding.denials.length >= 1 && flooding.denials.length <= 4, flooding.denials.join());
  assert.ok(flooding.denials.every((line) => line === 'rate example.com'));
  current = other;
  assert.equal((await askUdp(dns.port, 'A example.com'))?.rcode, 'NOERROR');
});

test('questions without an answer of name servers hold up nobody else, nor without end', async () => {
  await using silent = await new NameServer(() => undefined).open();
  const [stuck, other] = [new TestClient(), new TestClient()];
  let current = stuck;
  await using dns = await forwarder(silent, undefined, { clientOf: () => current });
  const began = performance.now();
  const answers = await Promise.all(
    Array.from({ length: 80 }, (_, index) => askUdp(dns.port, `A n${index}.example.com`, { waitMs: 5_500 })),
  );
  assert.ok(performance.now() - began < 6_500);
  assert.equal(answers.filter((answer) => answer?.rcode === 'SERVFAIL').length, 64, 'so many at once');
  assert.equal(answers.filter((answer) => answer === undefined).length, 16, 'the others are dropped');
  silent.say = ({ name }) => ({ answers: [a(name, '93.184.216.34')] });
  assert.equal((await askUdp(dns.port, 'A again.example.com'))?.rcode, 'NOERROR', 'their places are free again');
  current = other;
  assert.equal((await askUdp(dns.port, 'A other.example.com'))?.rcode, 'NOERROR');
});

test('a sprite has a few connections, and none for ever', { timeout: 30_000 }, async () => {
  await using server = await new NameServer(({ name }) => ({ answers: [a(name, '93.184.216.34')] })).open();
  await using dns = await forwarder(server, new TestClient());
  const idle = Array.from({ length: 12 }, () => connect(dns.port, '127.0.0.1'));
  const lasting = idle.map(async (socket) => {
    const began = performance.now();
    // Half a question, and then nothing.
    socket.write(Buffer.from([0, 40, 1]));
    await closed(socket);
    return performance.now() - began;
  });
  const early = (await Promise.all(lasting)).filter((lastedMs) => lastedMs < 5_000);
  assert.equal(early.length, 4, 'those beyond eight are refused; the others end when they are idle');
  for (const length of [0, 65_535]) {
    const socket = connect(dns.port, '127.0.0.1');
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(length);
    socket.write(bytes);
    await closed(socket.resume());
  }
  assert.equal((await askTcp(dns.port, ['A example.com'])).length, 1);
});

test('who is no sprite gets no answer', async () => {
  await using server = await new NameServer(() => ({ answers: [] })).open();
  await using dns = await forwarder(server, undefined);
  assert.equal(await askUdp(dns.port, 'A example.com', { waitMs: 200 }), undefined);
  assert.deepEqual(await askTcp(dns.port, ['A example.com']), []);
});

test('an address that is taken is an error, and nothing goes on listening', async () => {
  await using server = await new NameServer(() => undefined).open();
  const port = Number(server.upstream.split(':')[1]);
  const made = new DnsForwarder({
    listen: [
      { address: '127.0.0.1', port: 0 },
      { address: '127.0.0.1', port },
    ],
    upstreams: [],
    clientOf: () => undefined,
  });
  await assert.rejects(made.open(), { code: 'EADDRINUSE' });
  assert.deepEqual(made.ports, []);
  for (const upstreams of [['example.com'], ['1.2.3.4:0'], ['[::1'], ['1.2.3.4:99999'], ['']])
    assert.throws(
      () => new DnsForwarder({ listen: [], upstreams, clientOf: () => undefined }),
      RangeError,
      upstreams[0],
    );
  assert.throws(
    () => new DnsForwarder({ listen: [], upstreams: [], clientOf: () => undefined, allowedSpecial: ['x'] }),
    RangeError,
  );
});
