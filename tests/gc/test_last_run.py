"""The figures of the last run, as a scrape shows them."""

from pathlib import Path

from pyregistry.gc.collector import collect
from pyregistry.gc.last_run import GC_FIGURES, last_figures
from pyregistry.gc.outcome import Options
from pyregistry.metrics import Metrics
from pyregistry.storage import layout
from pyregistry.storage.registry import Registry
from tests.builders import image
from tests.storage.counting import CountingDriver
from tests.storage.pushing import push_image, repository


def test_a_scrape_reads_the_last_run_once_and_shows_all_of_it(root: Path, tmp_path: Path) -> None:
    driver = CountingDriver(root)
    metrics = Metrics(tmp_path)
    metrics.show_all({f"gc_{name}": text for name, text in GC_FIGURES.items()}, lambda: last_figures(driver, "gc_"))
    assert b"gc_" not in metrics.page("")[0]
    push_image(repository(Registry(driver)), image(b"layer"), "latest")
    collect(driver, Options())
    driver.reads.clear()
    page = metrics.page("")[0].decode()
    assert driver.reads == {layout.LAST_GC: 1}
    assert "\ngc_last_run_blobs 3.0\n" in page
    driver.write(layout.LAST_GC_FAILURE, b"why")
    page = metrics.page("")[0].decode()
    assert all(f"\ngc_{name} " in page for name in GC_FIGURES)
