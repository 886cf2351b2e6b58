import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { customizeScript, shellWord } from './customize.ts';
import { imageSpec } from './spec.ts';

const base = { version: 1, name: 'tiny', description: 'tiny', suite: 'trixie', user: { name: 'sprite', uid: 1001 } };

describe('shellWord', () => {
  it('passes every text through a shell unchanged', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 30 }).filter((value) => !value.includes('\0'));
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 20 }), (texts) => {
        const printed = execFileSync('sh', ['-c', `printf '%s\\0' ${texts.map(shellWord).join(' ')}`]).toString();
        assert.deepEqual(printed.split('\0').slice(0, -1), texts);
      }),
      { numRuns: 20 },
    );
  });
});

describe('customizeScript', () => {
  it('is a valid script for any steps and files', () => {
    const spec = imageSpec.parse({
      ...base,
      npm: ['bun@1.0.0'],
      files: [{ path: '/etc/motd', content: "it's" }],
      steps: ['echo \'quoted\' "twice" $HOME', 'a\nb'],
    });
    execFileSync('bash', ['-n'], { input: customizeScript(spec, { filesDir: "/tmp/it's", npmDir: '/n' }) });
  });

  it('runs install scripts of npm packages without a network', () => {
    const script = customizeScript(imageSpec.parse({ ...base, npm: ['bun@1.0.0'] }), { filesDir: '/f', npmDir: '/n' });
    assert.match(script, /unshare --net .*npm rebuild/);
  });

  it('gives sudo only where asked', () => {
    const withSudo = customizeScript(imageSpec.parse(base), { filesDir: '/f', npmDir: '/n' });
    const without = customizeScript(imageSpec.parse({ ...base, user: { ...base.user, sudo: false } }), {
      filesDir: '/f',
      npmDir: '/n',
    });
    assert.match(withSudo, /NOPASSWD/);
    assert.doesNotMatch(without, /sudo/);
  });
});
