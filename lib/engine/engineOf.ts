/** The engine of a mesh, made with its first group. */
import { meshEngine, meshEnvironment, meshPort, type Mesh } from '../mesh/mesh.js';
import type { EngineDoor } from './door.js';
import { Engine } from './engine.js';
import { FarEngine } from './thread/farEngine.js';

const engines = new WeakMap<Mesh, EngineDoor>();

export function engineOf(mesh: Mesh): EngineDoor {
  let engine = engines.get(mesh);
  if (!engine) {
    const channel = meshEngine(mesh);
    const environment = meshEnvironment(mesh);
    engine = channel ? new FarEngine(channel, mesh.id) : new Engine(meshPort(mesh), environment);
    engines.set(mesh, engine);
  }
  return engine;
}
