import { after, before } from 'node:test';
import type { ApiDeps } from '../deps.ts';
import { AgentService } from './agent-service.ts';
import { ApiFixture } from './fixture.ts';

/** For the tests of the suite this is called in: an API whose sprites' processes are real ones. `opened` runs before them. */
export function useAgentApi(
  opened: (api: ApiFixture<AgentService>) => unknown,
  options: Pick<ApiDeps, 'limits'> = {},
): void {
  const stack = new AsyncDisposableStack();
  before(async () => {
    const service = stack.use(await AgentService.open());
    await opened(stack.use(await ApiFixture.over(service, options)));
  });
  after(() => stack.disposeAsync());
}
