// When the browser says that this is a bad moment: the tab is hidden, the
// visitor saves data, the battery is being drained.

interface Battery extends EventTarget {
  readonly charging: boolean;
}

/** What not every browser has. */
interface Extras {
  readonly connection?: EventTarget & { readonly saveData?: boolean };
  getBattery?(): Promise<Battery>;
}

export class Lifecycle {
  pauseHidden = true;
  #battery: Battery | null = null;
  readonly #extras = navigator as Navigator & Extras;

  /** Calls changed with why to pause, or "", whenever that may have changed. */
  constructor(
    private readonly changed: (reason: string) => void,
    leave: () => void,
  ) {
    document.addEventListener("visibilitychange", () => this.look());
    this.#extras.connection?.addEventListener("change", () => this.look());
    addEventListener("pagehide", leave);
    void this.#watchBattery();
  }

  look(): void {
    this.changed(this.#reason());
  }

  #reason(): string {
    if (this.pauseHidden && document.visibilityState === "hidden") return "Paused while this tab is hidden.";
    if (this.#extras.connection?.saveData === true) return "Paused: your browser is asked to save data.";
    if (this.#battery?.charging === false) return "Paused while your device runs on battery.";
    return "";
  }

  async #watchBattery(): Promise<void> {
    try {
      this.#battery = (await this.#extras.getBattery?.()) ?? null;
      this.#battery?.addEventListener("chargingchange", () => this.look());
      this.look();
    } catch {
      // The page may forbid it; then the battery is not known.
    }
  }
}
