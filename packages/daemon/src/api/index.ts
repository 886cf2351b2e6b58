export { buildApi } from './build.ts';
export type { ApiDeps, ApiLimits } from './deps.ts';
