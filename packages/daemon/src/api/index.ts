export { buildApi } from './build.ts';
