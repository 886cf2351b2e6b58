import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findMirrors, parseSources } from './debian-sources.ts';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

describe('parseSources', () => {
  it('reads one-line entries with and without options', () => {
    const text = `# comment\ndeb [arch=amd64 signed-by=${keyring}] http://mirror.example/debian trixie main contrib # more\ndeb-src http://x trixie main\ndeb http://y trixie main\n`;
    assert.deepEqual(parseSources(text, 'list'), [
      { uri: 'http://mirror.example/debian', suite: 'trixie', components: ['main', 'contrib'], signedBy: keyring },
      { uri: 'http://y', suite: 'trixie', components: ['main'], signedBy: undefined },
    ]);
  });

  it('reads stanzas with several suites, comments and continued lines', () => {
    const text = `Types: deb\n# comment\nURIs: http://a\nSuites: trixie\n trixie-updates\nComponents: main\nSigned-By: ${keyring}\n\nTypes: deb-src\nURIs: http://b\nSuites: trixie\nComponents: main\n\nEnabled: no\nTypes: deb\nURIs: http://c\nSuites: trixie\nComponents: main\n`;
    assert.deepEqual(
      parseSources(text, 'deb822').map(({ uri, suite }) => `${uri} ${suite}`),
      ['http://a trixie', 'http://a trixie-updates'],
    );
  });
});

describe('findMirrors', () => {
  const source = (uri: string, suite: string, signedBy: string | undefined = keyring) => ({
    uri,
    suite,
    components: ['main'],
    signedBy,
  });

  it('takes the mirror and the security mirror of the machine', () => {
    const sources = [
      source('http://s', 'trixie-security'),
      source('http://m', 'trixie'),
      source('http://m', 'trixie-updates'),
    ];
    assert.deepEqual(findMirrors(sources, 'trixie'), { main: 'http://m', security: 'http://s' });
  });

  it('passes over archives of others, other releases and media', () => {
    const sources = [
      source('http://vendor', 'trixie', '/etc/apt/keyrings/vendor.gpg'),
      source('http://old', 'bookworm'),
      source('cdrom:[Debian]', 'trixie'),
    ];
    assert.equal(findMirrors(sources, 'trixie'), undefined);
  });
});
