"""Takes memory, 8 MB at a time, until the limit takes us."""

kept = []
for number in range(1, 65):
    kept.append(b"x" * (8 << 20))
    print(f"holding {number * 8} MB", flush=True)
