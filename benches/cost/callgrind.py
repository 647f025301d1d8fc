"""What callgrind's file says of one thread: instructions, and how often memory was asked for.

The file names functions once, `fn=(7) name`, and by number afterwards; a line `calls=N …` counts calls of
the function in the `cfn=` before it.
"""

import re

# What asks for memory, in mimalloc and in the C library. What these call among themselves is one asking.
ASKING = re.compile(r"(mi_(heap_)?(m|z|c|re)alloc\w*|mi_(heap_)?rezalloc\w*|malloc|calloc|realloc|memalign|aligned_alloc|posix_memalign)(@.*)?$")
GIVING_BACK = re.compile(r"(mi_free\w*|free|cfree)(@.*)?$")
INSIDE = re.compile(r"(_?mi_|malloc|calloc|realloc|_int_|memalign|aligned_alloc|posix_memalign|operator new)")
# Only data workers find routes and make attempts for them.
SERVING = "leeward_proxy::job::Job"
NAMED = re.compile(r"(c?fn)=\((\d+)\)(?: (.*))?$")


class Profile:
    """One thread's profile."""

    def __init__(self, path):
        self.instructions, self.allocations, self.releases = 0, 0, 0
        self.asked, self.serves = {}, False
        names, current, called = {}, "", ""
        for line in path.read_text(errors="replace").splitlines():
            if named := NAMED.match(line):
                kind, number, name = named.groups()
                names[number] = name = name or names[number]
                self.serves |= SERVING in name
                if kind == "fn":
                    current = name
                else:
                    called = name
            elif line.startswith("calls=") and not INSIDE.match(current):
                count = int(line[6:].split()[0])
                if ASKING.match(called):
                    self.allocations += count
                    self.asked[current] = self.asked.get(current, 0) + count
                elif GIVING_BACK.match(called):
                    self.releases += count
            elif total := re.match(r"(?:summary|totals): (\d+)", line):
                self.instructions = max(self.instructions, int(total[1]))


def data_worker(folder, name):
    """The profile of the one thread that serves clients."""
    profiles = [Profile(path) for path in sorted(folder.glob(f"{name}*"))]
    [found] = [profile for profile in profiles if profile.serves]
    return found
