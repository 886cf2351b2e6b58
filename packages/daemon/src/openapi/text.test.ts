import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { ApiFixture, type Json } from '../api/testing/fixture.ts';
import { referenceText } from './reference.ts';
import { openApiText } from './text.ts';

describe('the OpenAPI document', () => {
  it('is committed as the schemas say (write it with: node packages/daemon/src/openapi/write.ts)', async () => {
    assert.equal(await readFile(new URL('../../openapi.json', import.meta.url), 'utf8'), await openApiText());
  });

  it('has a committed reference for people', async () => {
    const reference = await readFile(new URL('../../../../docs/api.md', import.meta.url), 'utf8');
    assert.equal(reference, referenceText(await openApiText()));
    assert.ok(!reference.includes('undefined') && !reference.includes('[object'));
  });

  it('is served as it is committed', async () => {
    await using api = await ApiFixture.open();
    const { body } = await api.json('GET', '/openapi.json');
    assert.deepEqual(body, JSON.parse(await openApiText()));
  });

  it('has no reference without a target and no component without a use', async () => {
    const document = JSON.parse(await openApiText());
    const text = JSON.stringify({ ...document, components: undefined });
    const all = Object.keys(document.components.schemas);
    const referred = new Set(
      [...JSON.stringify(document).matchAll(/#\/components\/schemas\/([^"]+)/g)].map(([, name]) => name),
    );
    assert.deepEqual(referred, new Set(all));
    assert.ok(text.includes('/v1/sprites/{name}/exec/{session}'));
    for (const [path, methods] of Object.entries<Record<string, Json>>(document.paths)) {
      for (const [method, operation] of Object.entries(methods))
        assert.ok(operation.operationId && operation.summary, `${method} ${path}`);
    }
  });
});
