import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EdgeFixture } from './testing/fixture.ts';

describe('the edge', () => {
  it('wakes a sprite for a request and passes it on', async () => {
    await using edge = await EdgeFixture.open();
    const sprite = await edge.sprite('one', (request, response) => {
      response.setHeader('x-seen', JSON.stringify(request.headers));
      response.end(`hello from ${request.url}`);
    });
    const answer = await edge.fetch(edge.host('one'), '/path?q=1');
    assert.deepEqual([answer.status, answer.body], [200, 'hello from /path?q=1'], edge.log.join('\n'));
    assert.equal(sprite.wakes, 1);
    const seen = JSON.parse(String(answer.headers['x-seen'])) as Record<string, string>;
    assert.equal(seen['host'], edge.host('one'));
    assert.equal(seen['sprite-client-ip'], '127.0.0.1');
    assert.equal(seen['x-forwarded-for'], '127.0.0.1');
    assert.equal(seen['x-forwarded-host'], edge.host('one'));
    assert.equal(seen['x-forwarded-proto'], 'http');
    assert.equal(seen['via'], '1.1 sylph');
    for (let again = 0; again < 5; again++) await edge.fetch(edge.host('one'));
    assert.ok(sprite.dials <= 3, `connections are kept: ${sprite.dials}`);
    assert.equal(sprite.serviceLists, 1, 'a request costs no further questions');
  });
});
