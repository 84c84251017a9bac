"""What periodd exports, read by others: Parquet by pyarrow, CSV by csvkit. Sums are the books'."""

import io
import os
import subprocess
import tempfile
import unittest
from decimal import Decimal
from pathlib import Path

import agate
import psycopg
import pyarrow
import pyarrow.compute
import pyarrow.parquet

HOST, DATABASE = os.environ["PERIODD_TEST_SERVER"], os.environ["CLIENTS_DATABASE"]
PERIODD = os.environ["PERIODD"]
KINDS = ("closes", "packs", "ledger", "adjustments")


def export(kind, form, output):
    subprocess.run([PERIODD, "--quiet", "export", kind, "--format", form, "--output", output], check=True)


def ask(statement):
    with psycopg.connect(host=HOST, dbname=DATABASE, user="postgres") as connection:
        return connection.execute(statement).fetchone()


def setUpModule():
    """An org with three closed periods, a pack that has paid, and one that has not; whatever ran before."""
    with psycopg.connect(host=HOST, dbname=DATABASE, user="postgres") as connection:
        connection.execute(
            """insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                                          current_period_end)
               select 'exports', 'Exports', 'UTC', 'pro', m, m + interval '1 month'
               from (select date_trunc('month', now() at time zone 'UTC') at time zone 'UTC'
                            - interval '3 months' as m) months"""
        )
        connection.execute(
            """select grant_overage_pack(id, 'scrapes', 12.25, 'exports-1', null, current_period_start),
                      grant_overage_pack(id, 'sms_sent', 7, 'exports-2', null, current_period_start)
               from organizations where slug = 'exports'"""
        )
        connection.execute(
            """insert into limit_overrides (org_id, feature, included)
               select id, 'scrapes', 100 from organizations where slug = 'exports'"""
        )
        connection.execute(
            """select record_usage(id, 'scrapes', 105.125, null, current_period_start + interval '3 days')
               from organizations where slug = 'exports'"""
        )
    subprocess.run([PERIODD, "--quiet", "rollover"], check=True)


class Exports(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return str(Path(self.folder.name) / name)

    def test_parquet_has_exact_types_and_the_sums_of_the_books(self):
        tables = {}
        for kind in KINDS:
            export(kind, "parquet", self.path(kind))
            tables[kind] = pyarrow.parquet.read_table(self.path(kind))
        closes, ledger = tables["closes"], tables["ledger"]
        self.assertEqual(closes.schema.field("used").type, pyarrow.decimal128(28, 6))
        self.assertEqual(closes.schema.field("period_start").type, pyarrow.timestamp("us", tz="UTC"))
        self.assertEqual(closes.schema.field("feature").type, pyarrow.string())
        # Where a pack came from: null of all that were bought by their org.
        self.assertEqual(tables["packs"].schema.field("moved_from").type, pyarrow.string())
        moved = ask("select count(distinct pack_id) from periodd_moved_packs where pack_id is not null")[0]
        self.assertEqual(tables["packs"].num_rows - tables["packs"]["moved_from"].null_count, moved)
        count, used = ask(
            "select (select count(*) from billing_periods), (select sum(used) from billing_period_usage)"
        )
        self.assertGreater(count, 0, "the seed closes something")
        first = [cursor for cursor in closes["cursor"].to_pylist() if cursor.endswith("#1")]
        self.assertEqual(len(first), count)
        self.assertEqual(pyarrow.compute.sum(closes["used"]).as_py() or Decimal(0), used or Decimal(0))
        entries = ask("select count(*), sum(quantity) from overage_entries")
        self.assertEqual(ledger.num_rows, entries[0])
        self.assertEqual(pyarrow.compute.sum(ledger["quantity"]).as_py(), entries[1])
        starts = ask("select min(period_start), max(period_start) from billing_periods")
        known = closes["period_start"].to_pylist()
        self.assertEqual((min(known), max(known)), starts)

    def test_csv_is_read_by_csvkit(self):
        csvkit = Path(os.environ["VIRTUAL_ENV_BIN"])
        for kind in KINDS:
            export(kind, "csv", self.path(kind))
            clean = subprocess.run([csvkit / "csvclean", "--length-mismatch", self.path(kind)], capture_output=True, text=True)
            self.assertEqual((clean.returncode, clean.stderr), (0, ""), kind)
        table = agate.Table.from_csv(self.path("ledger"))
        self.assertEqual(
            sum(table.columns["quantity"].values()), ask("select sum(quantity) from overage_entries")[0]
        )
        stat = subprocess.run(
            [csvkit / "csvstat", "--sum", "-c", "quantity", self.path("ledger")], capture_output=True, text=True, check=True
        )
        total = Decimal(io.StringIO(stat.stdout).read().strip().replace(",", ""))
        self.assertEqual(total, ask("select sum(quantity) from overage_entries")[0])


if __name__ == "__main__":
    unittest.main()
