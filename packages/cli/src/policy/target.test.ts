import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkRule } from '@sylph/model';
import { withoutTargets, withRules } from './change.ts';
import { targetRule } from './target.ts';

test('targets are names and networks, with ports where they are given', () => {
  for (const [text, rule] of [
    ['example.com', { domain: 'example.com' }],
    ['*.foo.dev', { domain: '*.foo.dev' }],
    ['*', { domain: '*' }],
    ['*:53', { domain: '*', ports: [53] }],
    ['example.com:443', { domain: 'example.com', ports: [443] }],
    ['Bücher.example:80,443', { domain: 'xn--bcher-kva.example', ports: [80, 443] }],
    ['198.41.0.4', { cidr: '198.41.0.4' }],
    ['198.41.0.0/24:443', { cidr: '198.41.0.0/24', ports: [443] }],
    ['2606:4700::1', { cidr: '2606:4700::1' }],
    ['2606:4700::/32', { cidr: '2606:4700::/32' }],
    ['[2606:4700::]/32:443,80', { cidr: '2606:4700::/32', ports: [443, 80] }],
    ['[2606:4700::1]', { cidr: '2606:4700::1' }],
  ] as const) {
    assert.deepEqual(targetRule(text, 'allow'), { action: 'allow', ...rule }, text);
    assert.deepEqual(networkRule.parse(targetRule(text, 'deny')), { action: 'deny', ...rule }, text);
  }
  for (const text of [
    '',
    'https://example.com',
    'a b',
    'example.com:',
    'example.com:0',
    'example.com:70000',
    'example.com:x',
    '1.2.3.0/33',
    '[1.2.3.4]:80',
    '[::1',
    'a/b',
  ])
    assert.throws(() => targetRule(text, 'allow'), { exitCode: 2 }, text);
});

test('a rule takes the place of what was said about the same target', () => {
  const rules = [targetRule('Example.com', 'deny'), targetRule('example.org', 'allow')];
  const changed = withRules({ rules }, [targetRule('example.com.', 'allow'), targetRule('1.2.3.4', 'allow')]);
  assert.deepEqual(changed, {
    rules: [targetRule('example.org', 'allow'), targetRule('example.com.', 'allow'), targetRule('1.2.3.4', 'allow')],
    remark: undefined,
  });
  assert.deepEqual(withoutTargets(changed, [targetRule('1.2.3.4', 'allow')]), changed.rules.slice(0, 2));
});

test('a first rule that denies leaves the other names allowed, and a first one that allows says what it means', () => {
  const denied = withRules({ rules: [] }, [targetRule('ads.example.com', 'deny')]);
  assert.deepEqual(denied.rules, [targetRule('*', 'allow'), targetRule('ads.example.com', 'deny')]);
  assert.match(denied.remark ?? '', /stays allowed/);
  const allowed = withRules({ rules: [] }, [{ include: 'defaults' }]);
  assert.deepEqual(allowed.rules, [{ include: 'defaults' }]);
  assert.match(allowed.remark ?? '', /nothing else/);
});
