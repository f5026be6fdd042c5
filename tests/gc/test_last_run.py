"""The figures of the last run, as a scrape shows them."""

from pathlib import Path

from pyregistry.gc.last_run import GC_FIGURES, gc_figures
from pyregistry.gc.types import Options
from pyregistry.observe.metrics import Metrics
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.gc.collecting import collect
from tests.storage.counting import CountingDriver
from tests.storage.pushing import push_image, registry_on, repository


def test_a_scrape_reads_the_last_run_once_and_shows_all_of_it(root: Path, tmp_path: Path) -> None:
    driver = CountingDriver(root)
    metrics = Metrics(tmp_path)
    metrics.at_scrape(lambda: gc_figures(driver, 60.0))
    assert b"gc_last" not in metrics.page("")[0]
    push_image(repository(registry_on(driver)), image(b"layer"), "latest")
    collect(driver, Options())
    driver.reads.clear()
    page = metrics.page("")[0].decode()
    assert driver.reads == {layout.LAST_GC: 1}
    assert "\npyregistry_gc_last_run_blobs 3.0\n" in page
    assert "\npyregistry_gc_last_attempt_succeeded 1.0\n" in page
    driver.write(layout.LAST_GC_FAILURE, b"why")
    page = metrics.page("")[0].decode()
    assert all(f"\npyregistry_gc_{name} " in page for name in GC_FIGURES)
    assert "\npyregistry_gc_last_attempt_succeeded 0.0\n" in page
