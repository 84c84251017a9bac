"""SQLAlchemy, Alembic, Django and psycopg beside periodd's tables."""

import os
import subprocess
import sys
import tempfile
import unittest
from decimal import Decimal
from pathlib import Path

import psycopg
import sqlalchemy
from sqlalchemy.ext.automap import automap_base

ACME = "00000000-0000-4000-8000-00000000000a"
ANN = "00000000-0000-4000-8000-0000000000a1"
BOB = "00000000-0000-4000-8000-0000000000b1"
HOST, DATABASE = os.environ["PERIODD_TEST_SERVER"], os.environ["CLIENTS_DATABASE"]
URL = f"postgresql+psycopg://postgres@/{DATABASE}?host={HOST}"


class Psycopg(unittest.TestCase):
    def test_a_decimal_is_exact_both_ways(self):
        with psycopg.connect(host=HOST, dbname=DATABASE, user="postgres") as connection:
            call = "select new_usage, allowed from increment_feature_usage(%s, %s, %s, %s)"
            used, allowed = connection.execute(call, (BOB, "minutes_transcribed", Decimal("0.3"), "py-1")).fetchone()
            again, _ = connection.execute(call, (BOB, "minutes_transcribed", Decimal("0.3"), "py-1")).fetchone()
        self.assertIs(allowed, True)
        self.assertIsInstance(used, Decimal)
        self.assertEqual(used, again, "a repeated key moves nothing")


class Sqlalchemy(unittest.TestCase):
    def setUp(self):
        self.engine = sqlalchemy.create_engine(URL)
        self.addCleanup(self.engine.dispose)

    def test_every_table_is_reflected_without_a_warning(self):
        with self.assertNoLogs("sqlalchemy", level="WARNING"):
            metadata = sqlalchemy.MetaData()
            metadata.reflect(self.engine)
        self.assertIn("usage_counters", metadata.tables)
        columns = metadata.tables["usage_metrics"].c
        self.assertIsInstance(columns.metric_value.type, sqlalchemy.Numeric)

    def test_a_mapped_org_is_read(self):
        base = automap_base()
        base.prepare(self.engine, reflection_options={"only": ["organizations", "subscription_tiers"]})
        with sqlalchemy.orm.Session(self.engine) as session:
            org = session.get(base.classes.organizations, ACME)
            self.assertEqual(org.slug, "acme")

    def test_alembic_leaves_our_tables_alone_when_told_to(self):
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        ours = sqlalchemy.MetaData()
        ours.reflect(self.engine)
        application = sqlalchemy.MetaData()
        sqlalchemy.Table("notes", application, sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True))
        include = lambda name, kind, parents: kind != "table" or name not in ours.tables
        with self.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"include_name": include})
            steps = [step[0] for step in compare_metadata(context, application)]
        self.assertEqual(steps, ["add_table"])


class Django(unittest.TestCase):
    def test_the_inspected_models_load_and_query(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "shop").mkdir()
            (Path(folder) / "shop" / "__init__.py").touch()
            (Path(folder) / "settings.py").write_text(
                "SECRET_KEY = 'x'\nINSTALLED_APPS = ['shop']\nUSE_TZ = True\n"
                f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.postgresql',"
                f" 'NAME': {DATABASE!r}, 'USER': 'postgres', 'HOST': {HOST!r}}}}}\n"
            )
            environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": folder}
            run = lambda *arguments: subprocess.run(
                [sys.executable, *arguments], env=environment, cwd=folder, text=True, check=True, capture_output=True
            ).stdout
            models = run("-m", "django", "inspectdb")
            (Path(folder) / "shop" / "models.py").write_text(models)
            self.assertIn("class Organizations(models.Model)", models)
            said = run("-c", "import django; django.setup()\n"
                       "from shop.models import Organizations\n"
                       "print(sorted(Organizations.objects.values_list('slug', flat=True)))")
            self.assertEqual(said.strip(), "['acme', 'borea', 'cedar']")


if __name__ == "__main__":
    unittest.main(verbosity=2)
