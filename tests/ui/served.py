"""The app in a process of its own, with a config as its quickstart: `python served.py CONFIG PORT`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

    import app
    from studio import presets
    from studio.config import RunConfig

    config, load = RunConfig.from_yaml(Path(sys.argv[1]).read_text(encoding="utf-8")), presets.load
    presets.load = lambda name: config if name == presets.QUICKSTART else load(name)
    sys.argv = ["app.py", "--port", sys.argv[2]]
    app.main()
