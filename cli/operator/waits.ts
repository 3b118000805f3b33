export function waitsText(id: string): string {
  return `request ${id} waits for a second person, for a day: bootwave --as THEIRS.pem request approve ${id}`;
}
