/** The engine of a mesh, made with its first group. */
import { meshEnvironment, meshPort, type Mesh } from '../mesh/mesh.js';
import { Engine } from './engine.js';

const engines = new WeakMap<Mesh, Engine>();

export function engineOf(mesh: Mesh): Engine {
  let engine = engines.get(mesh);
  if (!engine) {
    engine = new Engine(meshPort(mesh), meshEnvironment(mesh));
    engines.set(mesh, engine);
  }
  return engine;
}
