import importlib.util
import shutil
from pathlib import Path

from gateway import resources


def test_a_checkout_has_them_beside_the_package() -> None:
    """Manifest, demo model and pages are found in a checkout."""
    root = Path(resources.__file__).resolve().parent.parent
    assert resources.bundled_models_dir() == root / "models"
    assert (resources.bundled_models_dir() / "demo" / "model.bin").is_file()
    assert resources.static_dir() == root / "static"


def test_a_wheel_has_them_inside_the_package(tmp_path: Path) -> None:
    """An installed package carries them in _bundled, and looks nowhere else."""
    package = tmp_path / "gateway"
    for name in ("static", "models"):
        (package / "_bundled" / name).mkdir(parents=True)
    shutil.copy(resources.__file__, package / "resources.py")
    spec = importlib.util.spec_from_file_location("installed_resources", package / "resources.py")
    assert spec is not None
    assert spec.loader is not None
    installed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(installed)
    assert installed.static_dir() == package / "_bundled" / "static"
    assert installed.bundled_models_dir() == package / "_bundled" / "models"
