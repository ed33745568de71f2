// Mol* without its user interface: surfaces of maps in one scene, set by us.
import { Volume } from "molstar/lib/mol-model/volume";
import { PluginContext } from "molstar/lib/mol-plugin/context";
import { PluginConfig } from "molstar/lib/mol-plugin/config";
import { createVolumeRepresentationParams } from "molstar/lib/mol-plugin-state/helpers/volume-representation-params";
import { StateTransforms } from "molstar/lib/mol-plugin-state/transforms";
import { Color } from "molstar/lib/mol-util/color";
import { Vec3 } from "molstar/lib/mol-math/linear-algebra";

export interface Surface {
  levelSigma: number;
  color: string;
  opacity: number;
}

// Without a graphics processor each picture takes seconds; without these it takes a tenth.
const PLAIN = {
  multiSample: { mode: "off" as const, sampleLevel: 0, reduceFlicker: false, reuseOcclusion: false },
  postprocessing: {
    occlusion: { name: "off" as const, params: {} },
    antialiasing: { name: "off" as const, params: {} },
    bloom: { name: "off" as const, params: {} },
  },
};
const SOFTWARE = /swiftshader|llvmpipe|software/i;

export class Scene {
  private readonly plugin: PluginContext;
  private readonly volumes = new Map<string, string>();
  private readonly surfaces = new Map<string, string>();
  private onGpu = true;

  private constructor() {
    this.plugin = new PluginContext({
      actions: [],
      behaviors: [],
      animations: [],
      config: [[PluginConfig.General.AllowMajorPerformanceCaveat, true]],
    });
  }

  static async open(frame: HTMLElement, background: string): Promise<Scene> {
    const scene = new Scene();
    await scene.plugin.init();
    if (!(await scene.plugin.mountAsync(frame))) throw new Error("3D graphics could not be started");
    await scene.plugin.canvas3dInitialized;
    scene.setBackground(background);
    scene.onGpu = !SOFTWARE.test(rendererName(scene.canvas));
    if (!scene.onGpu) scene.plugin.canvas3d?.setProps(PLAIN);
    return scene;
  }

  get canvas(): HTMLCanvasElement {
    const canvas = this.plugin.canvas3dContext?.canvas;
    if (!(canvas instanceof HTMLCanvasElement)) throw new Error("3D graphics could not be started");
    return canvas;
  }

  async add(name: string, bytes: Uint8Array<ArrayBuffer>, surface: Surface): Promise<void> {
    const volume = await this.plugin
      .build()
      .toRoot()
      .apply(StateTransforms.Data.RawData, { data: bytes, label: name })
      .apply(StateTransforms.Data.ParseCcp4, {})
      .apply(StateTransforms.Volume.VolumeFromCcp4, {})
      .commit();
    this.volumes.set(name, volume.ref);
    const shown = await this.plugin
      .build()
      .to(volume.ref)
      .apply(StateTransforms.Representation.VolumeRepresentation3D, this.parameters(surface))
      .commit();
    this.surfaces.set(name, shown.ref);
  }

  async change(name: string, surface: Surface): Promise<void> {
    const ref = this.surfaces.get(name);
    if (ref) await this.plugin.build().to(ref).update(this.parameters(surface)).commit();
  }

  async remove(name: string): Promise<void> {
    const ref = this.volumes.get(name);
    this.volumes.delete(name);
    this.surfaces.delete(name);
    const parent = ref && this.plugin.state.data.cells.get(ref)?.transform.parent;
    const raw = parent && this.plugin.state.data.cells.get(parent)?.transform.parent;
    if (raw) await this.plugin.build().delete(raw).commit();
  }

  setBackground(color: string): void {
    this.plugin.canvas3d?.setProps({ renderer: { backgroundColor: Color.fromHexStyle(color) } });
  }

  // Boxes are about twice as wide as their particles.
  resetView(): void {
    this.plugin.canvas3d?.requestCameraReset({
      durationMs: 0,
      snapshot: (scene, camera) => {
        const { center, radius } = scene.boundingSphereVisible;
        return camera.getFocus(center, radius / 1.6, Vec3.unitY, Vec3.negUnitZ);
      },
    });
  }

  // Turn around the vertical and the horizontal axis of the screen; more than 1 as zoom comes closer.
  turn(rightRad: number, downRad: number, zoom = 1): void {
    const camera = this.plugin.canvas3d?.camera;
    if (!camera) return;
    const { position, target, up } = camera.state;
    const away = Vec3.sub(Vec3(), position, target);
    const side = Vec3.normalize(Vec3(), Vec3.cross(Vec3(), up, away));
    const turned = rotated(rotated(away, up, rightRad), side, downRad);
    const newUp = rotated(up, side, downRad);
    const moved = Vec3.scaleAndAdd(Vec3(), target, turned, 1 / zoom);
    camera.setState({ position: moved, up: newUp }, 0);
  }

  picture(): Promise<Blob | null> {
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
  }

  private parameters(surface: Surface) {
    return createVolumeRepresentationParams(this.plugin, undefined, {
      type: "isosurface",
      typeParams: {
        isoValue: Volume.IsoValue.relative(surface.levelSigma),
        alpha: surface.opacity,
        visuals: ["solid"],
        tryUseGpu: this.onGpu,
      },
      color: "uniform",
      colorParams: { value: Color.fromHexStyle(surface.color) },
    });
  }
}

// Rodrigues' formula.
function rotated(v: Vec3, axis: Vec3, angle: number): Vec3 {
  const k = Vec3.normalize(Vec3(), axis);
  const part = Vec3.scale(Vec3(), k, Vec3.dot(k, v) * (1 - Math.cos(angle)));
  const sum = Vec3.scaleAndAdd(Vec3(), part, v, Math.cos(angle));
  return Vec3.scaleAndAdd(Vec3(), sum, Vec3.cross(Vec3(), k, v), Math.sin(angle));
}

export function hasWebGl(): boolean {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("webgl2") ?? canvas.getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

function rendererName(canvas: HTMLCanvasElement): string {
  const context = (canvas.getContext("webgl2") ?? canvas.getContext("webgl")) as WebGLRenderingContext | null;
  return String(context?.getParameter(context.RENDERER) ?? "");
}
