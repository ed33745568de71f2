// What people choose or drop: files with their path below the chosen folder, without what systems put beside them.

export interface Chosen {
  file: File;
  path: string;
}

const SYSTEM_FILES = new Set([".ds_store", "thumbs.db", "desktop.ini"]);

export function ofPicker(input: HTMLInputElement): Chosen[] {
  return wanted([...(input.files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
}

export async function ofDrop(transfer: DataTransfer): Promise<Chosen[]> {
  // Entries must be taken before the first await: the browser empties the list when the event handler returns.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  if (entries.length === 0) {
    return wanted([...transfer.files].map((file) => ({ file, path: file.name })));
  }
  const found: Chosen[] = [];
  for (const entry of entries) {
    await walk(entry, found);
  }
  return wanted(found);
}

async function walk(entry: FileSystemEntry, found: Chosen[]): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // A reader gives at most a hundred entries at once, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) {
      return;
    }
    for (const child of some) {
      await walk(child, found);
    }
  }
}

function wanted(chosen: Chosen[]): Chosen[] {
  return chosen.filter(({ file }) => !SYSTEM_FILES.has(file.name.toLowerCase()));
}
