"""Memory: the prefixes on a device and in host memory, least recently used first, by bytes."""

from collections import OrderedDict
from collections.abc import Iterable


class HostMemory:
    """Prefixes in host memory. `server/residency/host_cache.py` is the original."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._sizes: OrderedDict[int, int] = OrderedDict()

    def __contains__(self, task: int) -> bool:
        return task in self._sizes

    def use(self, task: int) -> bool:
        """Mark a prefix as recently used; False when it is not there."""
        if task not in self._sizes:
            return False
        self._sizes.move_to_end(task)
        return True

    def add(self, task: int, num_bytes: int) -> None:
        """Add a prefix, and evict others for it."""
        if num_bytes > self.budget_bytes or task in self._sizes:
            return
        self._sizes[task] = num_bytes
        self.used_bytes += num_bytes
        while self.used_bytes > self.budget_bytes:
            self.used_bytes -= self._sizes.popitem(last=False)[1]


class DeviceMemory:
    """Prefixes on the device, with leases. `server/residency/pool.py` is the original."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self.num_evicted = 0
        self._entries: OrderedDict[int, list[int]] = OrderedDict()  # task: [leases, bytes]

    def __contains__(self, task: int) -> bool:
        return task in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def lease(self, task: int, count: int = 1) -> bool:
        """Lease a prefix and mark it as recently used; False when it is not there."""
        entry = self._entries.get(task)
        if entry is None:
            return False
        self._entries.move_to_end(task)
        entry[0] += count
        return True

    def release(self, task: int) -> None:
        self._entries[task][0] -= 1

    def add(self, task: int, num_bytes: int) -> bool:
        """Add a prefix and evict idle ones for it; False when too much is leased."""
        while self.used_bytes + num_bytes > self.budget_bytes:
            idle = next((one for one, entry in self._entries.items() if entry[0] == 0), None)
            if idle is None:
                return False
            self.used_bytes -= self._entries.pop(idle)[1]
            self.num_evicted += 1
        self._entries[task] = [0, num_bytes]
        self.used_bytes += num_bytes
        return True

    def fill(self, tasks: Iterable[int], num_bytes: int) -> None:
        """Add prefixes without evicting any, the most recently used first."""
        room = (self.budget_bytes - self.used_bytes) // num_bytes
        chosen = [task for _, task in zip(range(room), tasks, strict=False)]
        for task in reversed(chosen):
            self.add(task, num_bytes)
