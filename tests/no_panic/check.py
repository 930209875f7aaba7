"""Checks in machine code that no input of a peer can make the core panic.

It reads the disassembly of a program that contains only the core (`objdump -d`, on stdin) and follows every direct
call and jump from the functions whose names begin with `no_panic_`. It fails if one leads to a panic that is not in
`ALLOWED`, which states the reason. A call through a register must go to the C library or free `Bytes`. A jump
through a register must go to a table within the function, as a `match` compiles to.
"""

import re
import sys

PANIC = re.compile(
    r"panick|panic_|_fail(ed)?\b|fail(ed)?17h|unwrap_failed|expect_failed|slice_.*_fail|begin_unwind|rust_panic"
)

# Reached only if memory is exhausted or a vector would exceed isize::MAX bytes. The limits apply long before.
ALLOWED = re.compile(r"capacity_overflow|handle_alloc_error|raw_vec.*handle_error|alloc_error_handler")

# Frees a queue of `Bytes`. All its calls through a register go to functions in the tables of the crate `bytes` that
# drop a reference. They only count and free.
FREES_BYTES = re.compile(r"drop_in_place.*SharedQueue")

FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
DIRECT = re.compile(r"\t(?:call|j[a-z]+)\s+[0-9a-f]+ <([^>+]+)(?:\+0x[0-9a-f]+)?>")
LOADED = re.compile(r"\tmov\s+0x[0-9a-f]+\(%rip\),(%\w+)\s+# [0-9a-f]+ <\w+@GLIBC")
THROUGH = re.compile(r"\t(call|jmp)\s+\*(%\w+|(?:-?0x[0-9a-f]+)?\((?!%rip).*)")
TABLE = re.compile(r"\tmovslq \(")


def parse(lines):
    """Returns the functions with their callees, and the functions with unknown callees."""
    calls, unknown, current = {}, set(), None
    for line in lines:
        if match := FUNCTION.match(line):
            current, library, since_table = match[1], set(), 99
            calls.setdefault(current, set())
            continue
        if current is None:
            continue
        since_table = 0 if TABLE.search(line) else since_table + 1
        if match := DIRECT.search(line):
            if match[1] != current:
                calls[current].add(match[1])
        elif match := LOADED.search(line):
            library.add(match[1])
        elif match := THROUGH.search(line):
            known = match[2] in library if match[1] == "call" else since_table <= 3
            if not known:
                unknown.add(current)
    return calls, unknown


def readable(name):
    """Returns the path in a mangled name."""
    parts = re.findall(r"(?<=\d)[A-Za-z_$.][\w$.]*?(?=\d|E)", name)
    return "::".join(parts) if name.startswith("_ZN") and parts else name


def main():
    calls, indirect = parse(sys.stdin)
    roots = [name for name in calls if "no_panic_" in name]
    if not roots:
        sys.exit("there is no function whose name begins with no_panic_")
    came_from, queue = {root: None for root in roots}, list(roots)
    panics = []
    while queue:
        name = queue.pop()
        for callee in calls.get(name, ()):
            if callee in came_from or ALLOWED.search(callee):
                continue
            came_from[callee] = name
            if PANIC.search(callee):
                panics.append(callee)
            else:
                queue.append(callee)
    for panic in panics:
        path = [panic]
        while came_from[path[-1]]:
            path.append(came_from[path[-1]])
        print("a panic can be reached: " + " <- ".join(map(readable, path)))
    unknown = sorted(name for name in indirect.intersection(came_from) if not FREES_BYTES.search(name))
    for name in unknown:
        print(f"has an unknown callee: {readable(name)}")
    if panics or unknown:
        sys.exit(1)
    print(f"no panic can be reached from {len(roots)} functions, which call {len(came_from) - len(roots)} others")


main()
