export { NamespaceNetwork } from './network.ts';
