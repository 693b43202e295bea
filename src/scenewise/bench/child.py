"""The process that measures memory: `python -m scenewise.bench.child QUESTION`, both ways JSON."""

import sys

from scenewise.bench.memory import main

if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1]) + "\n")
