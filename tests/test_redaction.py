from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micl_cli import redaction
from micl_cli.errors import StoreError
from micl_cli.redaction import is_secret_name, redact, redact_url, redact_words, remember_secrets


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_remembered", set())


URLS = {
    "postgresql://ada:{}@host/micl": "postgresql://ada:***@host/micl",
    "postgresql+psycopg2://ada:{}@host:5432/micl?sslmode=require": (
        "postgresql+psycopg2://ada:***@host:5432/micl?sslmode=require"
    ),
    "mysql://:{}@host/micl": "mysql://:***@host/micl",
    "postgresql://host/micl?user=ada&password={}": "postgresql://host/micl?user=ada&password=***",
    "postgresql://host/micl?password={}&user=ada": "postgresql://host/micl?password=***&user=ada",
    "postgresql://host/micl?PassWord={}": "postgresql://host/micl?PassWord=***",
    "postgresql://host/micl?pass%77ord={}": "postgresql://host/micl?pass%77ord=***",
    "postgresql://host/micl?sslpassword={}&sslmode=require": "postgresql://host/micl?sslpassword=***&sslmode=require",
    "sqlite:////x/micl.db?key={}": "sqlite:////x/micl.db?key=***",
    "sqlite+pysqlcipher://:{}@/micl.db?cipher=aes": "sqlite+pysqlcipher://:***@/micl.db?cipher=***",
    "snowflake://ada@account/db?token={}": "snowflake://ada@account/db?token=***",
    "mssql+pyodbc:///?odbc_connect=UID%3Dada%3BPWD%3D{}": "mssql+pyodbc:///?odbc_connect=***",
    "mssql+pyodbc:///?odbc_connect=UID=ada;PWD={}": "mssql+pyodbc:///?odbc_connect=***;PWD=***",
    "postgresql://ada:{}@one:1,two:2/micl": "postgresql://ada:***@one:1,two:2/micl",
    "postgresql://ada:{}@[::1]:5432/micl": "postgresql://ada:***@[::1]:5432/micl",
    "postgresql:/ada:{}@host/micl": "postgresql:***@host/micl",
    "postgresql:ada:{}@host/micl": "postgresql:***@host/micl",
    "ada:{}@host/micl": "ada:***@host/micl",
    "//ada:{}@host/micl": "//ada:***@host/micl",
    "postgresql://ada:{}": "postgresql://ada:***",
    "postgresql://ada%3A{}@host/micl": "postgresql://ada%3A***@host/micl",
    "postgresql://host/micl?pwd%3D{}": "postgresql://host/micl?pwd%3D***",
    "sqlite+pysqlcipher:///:{}@/micl.db": "sqlite+pysqlcipher:///:***@/micl.db",
    "https://ada:{}@proxy:8080/": "https://ada:***@proxy:8080/",
    "https://{}@registry/simple/": "https://***@registry/simple/",
}
PASSWORDS = ["s3cr3t", "s3#cr/et?x", "s3@cr@et", "s3:cr:et", "?#s3/@cr%40et", "s3cr%2Fet", "s3&cr"]


@pytest.mark.parametrize("shape", URLS)
def test_a_password_is_hidden_in_urls_of_every_shape(shape: str) -> None:
    assert redact_url(shape.format("s3cr3t")) == URLS[shape]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("shape", [shape for shape in URLS if "https" not in shape and not shape.endswith("ada:{}")])
def test_a_password_with_unescaped_characters_is_hidden(shape: str, password: str) -> None:
    # Without a host, what follows the last @ of a password cannot be told from one.
    shown = redact_url(shape.format(password))
    assert not any(part in shown for part in ("s3", "cr", "et"))


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20), st.sampled_from(["", "?a=b"])
)
def test_no_character_of_a_password_before_the_host_is_shown(password: str, query: str) -> None:
    assert redact_url(f"postgresql://u:{password}@h/d{query}") in (
        f"postgresql://u:***@h/d{query.replace('b', '***')}",
        "postgresql://u:***",  # the password itself has a query
        f"postgresql://u:***{query.replace('b', '***')}",
    )


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada@host/micl",
        "postgresql://host:5432/micl?user=ada&connect_timeout=3",
        "postgresql://[::1]:5432/micl",
        "postgresql://one:1,two:2/micl",
        "sqlite:////home/a:b@c/micl.db",
        "sqlite:///file:/x/micl.db?mode=ro&uri=true",
        "see https://docs.sqlalchemy.org/dialects.",
        "https://host:8080/@scope/package@1.0",
        "a task: own/img_cap, step-2-140",
        "the token of the answer ends here",
        "an unknown token: <pad>; the key: a",
    ],
)
def test_text_without_a_secret_is_unchanged(text: str) -> None:
    assert redact(text) == text


def test_secrets_are_hidden_within_a_message() -> None:
    assert redact("cannot reach 'postgresql://ada:s3cr3t@host/micl': refused") == (
        "cannot reach 'postgresql://ada:***@host/micl': refused"
    )
    assert redact("bad dsn: host=h password=s3cr3t user=ada") == "bad dsn: host=h password=*** user=ada"
    assert redact("{'password': 's3 cr3t', 'user': 'ada'}") == "{'password': ***, 'user': 'ada'}"
    assert redact("Authorization: Bearer s3cr3t.t0ken") == "Authorization: Bearer ***"
    assert redact("invalid: hf_" + 8 * "s3cr3t") == "invalid: ***"
    assert redact("DRIVER={x};UID=ada;PWD={s3;cr};") == "DRIVER={x};UID=ada;PWD=***;"


def test_a_remembered_password_is_hidden_in_messages_of_drivers() -> None:
    remember_secrets("postgresql://ada:s3cr%40t4u@host/micl?key=k3ykey")
    assert redact("no host 't4u'; no user s3cr@t4u or s3cr%40t4u; k3ykey") == "no host 't4u'; no user *** or ***; ***"


def test_a_connection_string_in_place_of_a_url_is_hidden() -> None:
    assert redact_url("host=h password='s3 cr3t' user=ada") == "host=h password=*** user=ada"


def test_an_error_never_holds_a_secret() -> None:
    error = StoreError("no postgresql://ada:s3cr3t@host/db", "Write postgresql://ada:s3cr3t@host/db2")
    assert "s3cr3t" not in f"{error} {error.message} {error.hint} {error.args}"


def test_tokens_of_the_environment_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    assert redact("401 for hf_abcdefgh") == "401 for ***"


@pytest.mark.parametrize("name", ["password", "api_key", "wandb_token", "key", "SECRET", "2:api-key"])
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["keyboard", "monkey", "max_new_tokens", "tokenizer", "path", "alpha"])
def test_other_names_are_not_taken_for_secrets(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["micl", "learn", "-b", "api_key", "XYZ", "--seed", "1"], "micl learn -b api_key *** --seed 1"),
        (["micl", "serve", "--token", "XYZ"], "micl serve --token ***"),
        (["micl", "learn", "--max-new-tokens", "8"], "micl learn --max-new-tokens 8"),
        (["micl", "learn", "-b", "api_key=XYZ"], "micl learn -b api_key=***"),
        ([], ""),
    ],
)
def test_the_word_after_the_name_of_a_secret_is_hidden(words: list[str], shown: str) -> None:
    assert redact_words(words) == shown
