import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import { parseImageSpec, readImageSpec, specDigest } from './spec.ts';

const specsDir = join(import.meta.dirname, '../../../images');
const least = `version = 1
name = "tiny"
description = "as little as can be"
suite = "trixie"
[user]
name = "sprite"
uid = 1001
`;

function refusal(text: string): SylphError {
  try {
    parseImageSpec(text, 'tiny.toml');
  } catch (error) {
    assert.ok(error instanceof SylphError);
    return error;
  }
  throw new assert.AssertionError({ message: 'the spec was accepted' });
}

describe('parseImageSpec', () => {
  it('fills in what a spec leaves out', () => {
    const spec = parseImageSpec(least, 'tiny.toml');
    assert.equal(spec.size_gb, 20);
    assert.deepEqual(spec.packages, []);
    assert.deepEqual(spec.user, { name: 'sprite', uid: 1001, shell: '/bin/bash', sudo: true });
  });

  it('says where a text is not TOML', () => {
    const error = refusal('version = = 1');
    assert.equal(error.code, 'invalid_request');
    assert.match(error.message, /tiny\.toml is not TOML/);
  });

  for (const [what, text, where] of [
    ['an unknown field', `pakages = []\n${least}`, /pakages/],
    ['a package name that is an option', `packages = ["--purge"]\n${least}`, /packages\[0\]/],
    ['an npm package without a version', `npm = ["bun"]\n${least}`, /npm\[0\]/],
    ['a path that leaves its place', `${least}[[files]]\npath = "/etc/../x"\ncontent = ""\n`, /files\[0\]\.path/],
    ['a mode that is not octal', `${least}[[files]]\npath = "/x"\nmode = "0999"\ncontent = ""\n`, /files\[0\]\.mode/],
    ['a system account', least.replace('1001', '0'), /user\.uid/],
  ] as const) {
    it(`refuses ${what} and names the place`, () => {
      const error = refusal(text);
      assert.equal(error.code, 'invalid_request');
      assert.match(error.message, where);
    });
  }
});

describe('specDigest', () => {
  it('does not change with comments and layout, but with content', () => {
    const digest = specDigest(parseImageSpec(least, 'a'));
    assert.equal(specDigest(parseImageSpec(`# a comment\n\n${least}`, 'b')), digest);
    assert.notEqual(specDigest(parseImageSpec(least.replace('1001', '1002'), 'c')), digest);
  });
});

describe('the shipped specs', () => {
  it('are valid and named like their files', async () => {
    const files = (await readdir(specsDir)).filter((file) => file.endsWith('.toml'));
    assert.ok(files.length > 0);
    for (const file of files) {
      const { spec } = await readImageSpec(join(specsDir, file));
      assert.equal(`${spec.name}.toml`, file);
    }
  });

  it('are refused by name when there is none', async () => {
    await assert.rejects(readImageSpec(join(specsDir, 'none.toml')), { code: 'image_not_found' });
  });
});
