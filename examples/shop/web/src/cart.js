// What the customer wants: item id -> count.
export class Cart {
  #lines = new Map();

  add(item) {
    const have = this.#lines.get(item.id) ?? 0;
    if (have >= item.stock) return false;
    this.#lines.set(item.id, have + 1);
    return true;
  }

  remove(item) {
    const have = this.#lines.get(item.id) ?? 0;
    if (have > 1) this.#lines.set(item.id, have - 1);
    else this.#lines.delete(item.id);
  }

  clear() {
    this.#lines.clear();
  }

  count(item) {
    return this.#lines.get(item.id) ?? 0;
  }

  get size() {
    return [...this.#lines.values()].reduce((a, b) => a + b, 0);
  }

  total(items) {
    return items.reduce((sum, it) => sum + it.price * this.count(it), 0);
  }

  lines() {
    return [...this.#lines].map(([id, count]) => ({ id, count }));
  }
}

export function price(cents) {
  return `€ ${(cents / 100).toFixed(2)}`;
}
