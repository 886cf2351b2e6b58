import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkPolicy, type NetworkRule } from '@sylph/model';
import fc from 'fast-check';
import { parseNetwork } from './cidr.ts';
import { readDefaults } from './defaults.ts';
import { policyFaults } from './faults.ts';
import { compilePolicy } from './policy.ts';

const label = fc.constantFrom('a', 'b', 'c', 'www', 'xn--bcher-kva', '_tcp', '1');
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
const noisy = (text: string): fc.Arbitrary<string> =>
  fc.tuple(fc.array(fc.boolean(), { minLength: text.length, maxLength: text.length }), fc.constantFrom('', '.')).map(
    ([upper, dot]) =>
      text
        .split('')
        .map((char, at) => (upper[at] ? char.toUpperCase() : char))
        .join('') + dot,
  );
const action = fc.constantFrom('allow' as const, 'deny' as const);
const domainRule = fc
  .record({
    domain: fc.oneof(
      { weight: 4, arbitrary: name },
      { weight: 3, arbitrary: name.map((suffix) => `*.${suffix}`) },
      { weight: 1, arbitrary: fc.constant('*') },
    ),
    action,
    ports: fc.option(fc.uniqueArray(fc.constantFrom(22, 80, 443), { minLength: 1 }), { nil: undefined }),
  })
  .map(({ ports, ...rule }): NetworkRule & { domain: string } =>
    ports === undefined || rule.action === 'deny' ? rule : { ...rule, ports },
  );

/** How exactly a rule speaks of a name; 0: not at all. */
function exactness({ domain }: { domain: string }, asked: string): number {
  if (domain === '*') return 1;
  if (domain.startsWith('*.')) return asked.endsWith(domain.slice(1)) ? domain.split('.').length + 1 : 0;
  return domain === asked ? 1_000 : 0;
}

test('the most exact rule decides, deny wins among equals, and what no rule is about is denied', () => {
  fc.assert(
    fc.property(
      fc.array(domainRule, { minLength: 1, maxLength: 12 }),
      name.chain((plain) => fc.tuple(fc.constant(plain), noisy(plain))),
      (rules, [asked, spelled]) => {
        const best = Math.max(...rules.map((rule) => exactness(rule, asked)));
        const deciding = best === 0 ? [] : rules.filter((rule) => exactness(rule, asked) === best);
        const allowed = deciding.length > 0 && deciding.every((rule) => 'action' in rule && rule.action === 'allow');
        const decision = compilePolicy({ rules }, []).decide(spelled);
        assert.equal(decision.action, allowed ? 'allow' : 'deny');
        if (decision.action === 'deny') return;
        const ports = deciding.map((rule) => ('ports' in rule ? rule.ports : undefined));
        const all = ports.includes(undefined);
        assert.deepEqual(
          decision.ports,
          all ? undefined : [...new Set(ports.flatMap((some) => some ?? []))].toSorted((a, b) => a - b),
        );
      },
    ),
    { numRuns: 2_000 },
  );
});

test('the order of rules says nothing', () => {
  fc.assert(
    fc.property(
      fc
        .array(domainRule, { minLength: 1, maxLength: 8 })
        .chain((rules) => fc.tuple(fc.constant(rules), fc.shuffledSubarray(rules, { minLength: rules.length }))),
      name,
      ([rules, shuffled], asked) => {
        assert.deepEqual(
          compilePolicy({ rules: shuffled }, []).decide(asked),
          compilePolicy({ rules }, []).decide(asked),
        );
      },
    ),
  );
});

test('without rules everything is allowed, whatever it is', () => {
  const policy = compilePolicy({ rules: [] }, readDefaults());
  assert.equal(policy.restricted, false);
  for (const asked of ['example.com', '', 'a..b', '*', '\u0000']) assert.equal(policy.decide(asked).action, 'allow');
});

test('names are compared by their ASCII form, without regard to case and final dot', () => {
  const policy = compilePolicy(
    {
      rules: [
        { domain: 'Bücher.Example', action: 'allow' },
        { domain: '*.EXAMPLE.com.', action: 'allow' },
      ],
    },
    [],
  );
  for (const asked of ['xn--bcher-kva.example', 'BÜCHER.example.', 'a.b.example.COM'])
    assert.equal(policy.decide(asked).action, 'allow', asked);
  for (const asked of [
    'example.com',
    'notexample.com',
    'bucher.example',
    'x.xn--bcher-kva.example',
    '',
    '.',
    'a..example.com',
    'a b.example.com',
  ])
    assert.equal(policy.decide(asked).action, 'deny', asked);
});

test('an included default is a rule like any other', () => {
  const policy = compilePolicy(
    {
      rules: [
        { include: 'defaults' },
        { domain: 'github.com', action: 'deny' },
        { domain: '*.npmjs.org', action: 'deny' },
      ],
    },
    readDefaults(),
  );
  assert.equal(policy.decide('pypi.org').action, 'allow');
  assert.equal(policy.decide('github.com').action, 'deny');
  assert.equal(policy.decide('api.github.com').action, 'allow');
  assert.equal(policy.decide('registry.npmjs.org').action, 'deny');
  assert.equal(policy.decide('example.com').action, 'deny');
});

test('networks come smallest first, deny before allow, masked, with their ports in order', () => {
  const { networks } = compilePolicy(
    {
      rules: [
        { cidr: '0.0.0.0/0', action: 'allow' },
        { cidr: '1.2.3.4/24', action: 'allow', ports: [443, 80, 443] },
        { cidr: '1.2.3.0/24', action: 'deny' },
        { cidr: '2606:4700::1111', action: 'allow' },
        { domain: 'example.com', action: 'allow' },
      ],
    },
    [],
  );
  assert.deepEqual(networks, [
    { cidr: '2606:4700::1111/128', family: 6, action: 'allow' },
    { cidr: '1.2.3.0/24', family: 4, action: 'deny' },
    { cidr: '1.2.3.0/24', family: 4, action: 'allow', ports: [80, 443] },
    { cidr: '0.0.0.0/0', family: 4, action: 'allow' },
  ]);
});

test('a network is the same after it was written and read', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(128), (address, bits) => {
      const family = address.includes(':') ? 6 : 4;
      const network = parseNetwork(`${address}/${family === 4 ? Math.min(bits, 32) : bits}`);
      const [entry] = compilePolicy({ rules: [{ cidr: `${address}/${network.bits}`, action: 'deny' }] }, []).networks;
      assert.deepEqual(parseNetwork(entry?.cidr ?? ''), network);
    }),
  );
});

test('whatever the schema lets through can be compiled', () => {
  const text = fc.oneof(
    fc.string({ unit: fc.constantFrom(...'0123456789abcdef:./%'.split('')), maxLength: 30 }),
    fc
      .oneof(fc.ipV4(), fc.ipV4Extended(), fc.ipV6())
      .chain((address) => fc.constantFrom(address, `${address}/0`, `${address}/24`, `0${address}`, `${address}%1`)),
  );
  fc.assert(
    fc.property(text, (cidr) => {
      const parsed = networkPolicy.safeParse({ rules: [{ cidr, action: 'deny' }] });
      if (!parsed.success) return;
      const { networks } = compilePolicy(parsed.data, []);
      const faults = policyFaults(parsed.data, { allowedSpecial: [] });
      assert.equal(networks.length + faults.length, 1, cidr);
    }),
    { numRuns: 20_000 },
  );
});

test('rules that can never hold are named, with what to do', () => {
  const rules: NetworkRule[] = [
    { domain: 'example.com', action: 'allow' },
    { cidr: '10.1.0.0/16', action: 'allow' },
    { cidr: '10.1.0.0/16', action: 'deny' },
    { cidr: '0.0.0.0/0', action: 'allow' },
    { cidr: '::ffff:1.2.3.4', action: 'allow' },
    { domain: '1.2.3.4', action: 'allow' },
    { domain: 'example.com', action: 'deny', ports: [22] },
    { domain: 'printer', action: 'allow' },
    { domain: '*.local', action: 'allow' },
    { domain: 'printer.local', action: 'deny' },
    { domain: '*.dev', action: 'allow' },
  ];
  const faults = policyFaults({ rules }, { allowedSpecial: [] });
  assert.deepEqual(
    faults.map(({ index }) => index),
    [1, 4, 5, 6, 7, 8],
  );
  assert.match(faults[0]?.message ?? '', /10\.1\.0\.0\/16 .*network-allow/);
  assert.match(faults[2]?.message ?? '', /"cidr":"1\.2\.3\.4"/);
  assert.deepEqual(
    policyFaults(
      {
        rules: [
          { cidr: '10.1.2.0/24', action: 'allow' },
          { domain: 'db.local', action: 'allow' },
        ],
      },
      { allowedSpecial: ['10.1.0.0/16'] },
    ),
    [],
  );
  assert.deepEqual(
    policyFaults({ rules: [{ cidr: '10.0.0.0/8', action: 'allow' }] }, { allowedSpecial: ['10.1.0.0/16'] }),
    [],
  );
});

test('every default is a rule a policy may have, and none can never hold', () => {
  const domains = readDefaults();
  assert.ok(domains.length > 100);
  assert.equal(new Set(domains).size, domains.length, 'a default stands there twice');
  const rules = domains.map((domain) => ({ domain, action: 'allow' as const }));
  assert.deepEqual(networkPolicy.parse({ rules }).rules, rules);
  assert.deepEqual(policyFaults({ rules }, { allowedSpecial: [] }), []);
});
