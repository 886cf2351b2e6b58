export { openSqliteRepository } from './sqlite-repository.ts';
