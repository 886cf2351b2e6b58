import assert from 'node:assert/strict';
import { test } from 'node:test';
import dnsPacket, { type Answer } from 'dns-packet';
import fc from 'fast-check';
import { Answerer } from './answerer.ts';
import type { AdmittedAddress } from './client.ts';
import { ClientState } from './client-state.ts';
import { emptyReply, maxUdpBytes, readQuery, readUpstreamReply, writeReply, type UpstreamReply } from './message.ts';
import { compilePolicy } from './policy.ts';
import { Resolver } from './resolver.ts';
import { withoutHints } from './service-binding.ts';
import { SpecialRanges } from './special-ranges.ts';
import { queryBytes } from './testing/asker.ts';

const noise = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
/** A message with some of its bytes changed, cut or repeated. */
const damaged = (whole: Buffer): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 6 }),
      fc.oneof(fc.constant(whole.length), fc.nat(whole.length)),
      noise,
    )
    .map(([changes, length, tail]) => {
      const bytes = Buffer.concat([whole.subarray(0, length), tail]);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes;
    });

const asked = { id: 0x1234, name: 'example.com', type: 'A' };
const answer = dnsPacket.encode({
  type: 'response',
  id: asked.id,
  questions: [{ name: asked.name, type: 'A' }],
  answers: [
    { type: 'CNAME', name: 'example.com', data: 'www.example.net', ttl: 60 },
    { type: 'A', name: 'www.example.net', data: '93.184.216.34', ttl: 60 },
    { type: 'AAAA', name: 'www.example.net', data: '2606:4700::1111', ttl: 60 },
    { type: 'MX', name: 'example.com', data: { preference: 1, exchange: 'mail.example.com' }, ttl: 60 },
    { type: 'TXT', name: 'example.com', data: ['text'], ttl: 60 },
    { type: 'SRV', name: 'example.com', data: { port: 1, target: 'sip.example.com' }, ttl: 60 },
    { type: 'CAA', name: 'example.com', data: { tag: 'issue', value: 'ca.example' }, ttl: 60 },
    {
      type: 'UNKNOWN_65',
      name: 'example.com',
      data: Buffer.from('0001000001000302683200040004c0000201', 'hex'),
      ttl: 60,
    } as unknown as Answer,
  ],
  authorities: [
    {
      type: 'SOA',
      name: 'example.com',
      ttl: 60,
      data: { mname: 'ns.example.com', rname: 'x.example.com', minimum: 60 },
    },
  ],
});

test('whatever a sprite sends is a question or nothing, and every question can be answered', () => {
  fc.assert(
    fc.property(fc.oneof(noise, damaged(queryBytes('A www.example.com', 1_232)), damaged(answer)), (bytes) => {
      const query = readQuery(bytes);
      if (!query) return;
      const written = writeReply(query, emptyReply('REFUSED'), query.udpBytes);
      assert.ok(written.length <= maxUdpBytes);
      const read = dnsPacket.decode(written);
      assert.equal(read.id, query.id);
      assert.equal(read.questions?.[0]?.name, query.name);
    }),
    { numRuns: 20_000 },
  );
});

test('whatever a name server sends, a sprite gets a message of records that were checked, and no other address is admitted', async () => {
  let whole = 0;
  const special = new SpecialRanges();
  await fc.assert(
    fc.asyncProperty(
      fc.oneof({ weight: 1, arbitrary: noise }, { weight: 6, arbitrary: damaged(answer) }),
      fc.constantFrom('A', 'AAAA', 'MX', 'TXT', 'SRV', 'CAA', 'UNKNOWN_65'),
      async (bytes, type) => {
        const upstreams = {
          ask: async (name: string): Promise<UpstreamReply> => {
            // The question stands between byte 12 and its type.
            const spoken = Buffer.from(bytes);
            if (spoken.length > 27) spoken.writeUInt16BE(typeNumber(type), 25);
            const reply = readUpstreamReply(spoken, { ...asked, name, type });
            if (reply && reply.answers.length > 0) whole += 1;
            if (!reply) throw new Error('no answer to this question');
            return reply;
          },
        };
        const admitted: AdmittedAddress[] = [];
        const query = readQuery(queryBytes(`${type} example.com`));
        assert.ok(query);
        const policy = compilePolicy({ rules: [{ domain: 'example.com', action: 'allow' }] }, []);
        const client = {
          policy,
          admit: async (some: readonly AdmittedAddress[]) => void admitted.push(...some),
          denied: () => undefined,
        };
        const reply = await new Answerer(new Resolver(upstreams), special).answer(query, client, new ClientState());
        let written: Buffer;
        try {
          written = writeReply(query, reply, 65_535);
        } catch {
          return; // The forwarder answers SERVFAIL then.
        }
        const given = (dnsPacket.decode(written).answers ?? []).filter(
          (record) => record.type === 'A' || record.type === 'AAAA',
        );
        assert.equal(given.length, admitted.length);
        for (const { address } of admitted) assert.ok(!special.blocks(address), address);
      },
    ),
    { numRuns: 10_000 },
  );
  assert.ok(whole > 300, `${whole} answers were whole enough to be looked at`);
});

test('a written answer reads as it was meant, however long it may be', () => {
  const name = fc.constantFrom(
    'example.com',
    'WWW.example.net',
    'a.b.c.example.com',
    '.',
    'x'.repeat(63) + '.example.org',
  );
  const record = fc.oneof(
    fc.record({ type: fc.constant('A' as const), name, data: fc.ipV4(), ttl: fc.nat(9) }),
    fc.record({ type: fc.constant('CNAME' as const), name, data: name, ttl: fc.nat(9) }),
    fc.record({
      type: fc.constant('TXT' as const),
      name,
      data: fc.string({ maxLength: 200 }).map((text) => [Buffer.from(text)]),
      ttl: fc.nat(9),
    }),
  );
  const records = fc.array(record, { maxLength: 40 });
  fc.assert(
    fc.property(
      records,
      records,
      fc.integer({ min: 512, max: 20_000 }),
      fc.boolean(),
      (answers, authorities, maxBytes, edns) => {
        const query = readQuery(queryBytes('A Example.com', edns ? 1_232 : undefined));
        assert.ok(query);
        const written = writeReply(query, { rcode: 'NOERROR', answers, authorities }, maxBytes);
        assert.ok(written.length <= maxBytes);
        const read = dnsPacket.decode(written);
        const all = [...(read.answers ?? []), ...(read.authorities ?? [])].map(textOf);
        const wanted = [...answers, ...authorities].map(textOf);
        assert.deepEqual(all, wanted.slice(0, all.length));
        assert.equal(read.flag_tc, all.length < wanted.length);
        assert.equal(read.additionals?.length, edns ? 1 : 0);
      },
    ),
    { numRuns: 2_000 },
  );
});

test('service bindings of any bytes lose their hints or are left out', () => {
  fc.assert(
    fc.property(noise, (data) => {
      const kept = withoutHints(data);
      if (kept === undefined) return;
      assert.ok(kept.length <= data.length);
      assert.deepEqual(withoutHints(kept), kept);
    }),
    { numRuns: 5_000 },
  );
});

function typeNumber(type: string): number {
  return queryBytes(`${type} a`).readUInt16BE(12 + 3);
}

function textOf(record: Answer): string {
  return `${record.name.toLowerCase()} ${record.type} ${'data' in record ? JSON.stringify(record.data) : ''}`;
}
