import { AsyncLocalStorage } from 'node:async_hooks';
import type { Logger } from 'pino';

/** Field of a log line with the id of the request that caused it, which its client has in the header `X-Request-Id`. */
export const requestIdField = 'reqId';

const requestIds = new AsyncLocalStorage<string>();

/** Does something on behalf of a request: what it logs, whoever logs it and however late, has the request's id through {@link requestIdMixin}. */
export function onBehalfOf<T>(requestId: string, work: () => T): T {
  return requestIds.run(requestId, work);
}

/** For the options of a logger. Loggers that have the id of a request anyway are left alone: a line has it once. */
export function requestIdMixin(_line: object, _level: number, logger: Logger): object {
  const requestId = requestIds.getStore();
  return requestId === undefined || requestIdField in logger.bindings() ? {} : { [requestIdField]: requestId };
}
