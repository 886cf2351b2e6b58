export { NamespaceNetwork } from './network.ts';
export { foreignDrops, namespaceObstacle } from './requirements.ts';
