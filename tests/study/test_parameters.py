import nbformat
import papermill
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_code_cell, new_notebook

from autoparts.errors import UserError
from autoparts.pipeline import notebooks
from autoparts.study import backbones, parameters
from autoparts.study.parameters import Parameter, annotated, check, check_notebook
from autoparts.study.run import open_notebook

DECLARED = {path: notebooks.declared_parameters(path) for path in notebooks.select()}
EVERY = {name: parameter for declared in DECLARED.values() for name, parameter in declared.items()}


def test_the_real_notebooks_declare_what_is_known_and_their_defaults_will_do():
    for declared in DECLARED.values():
        assert {parameter.kind for parameter in declared.values()} <= parameters.KINDS.keys()
        check({name: parameter.default for name, parameter in declared.items()}, declared, "this notebook has no")
    assert EVERY.keys() == {*parameters.NAMES.split()}
    assert parameters.ALLOWED.keys() | {"accept", "photo", "cluster", "backbone"} <= EVERY.keys()
    assert EVERY["filters"] == Parameter("list[int]", [32, 64])


def test_annotated_assignments_are_found_and_nothing_else():
    code = "a: int = 1  #= 2\nb: 'list[int]' = [1, 2]\nc = 3\nd.e: int = 4\nf: int = g\nh: str\ni += 1\nj: float = -1.5"
    assert annotated(code) == {"a": ("int", 1), "b": ("'list[int]'", [1, 2]), "j": ("float", -1.5)}
    assert annotated("%magic") == annotated("\0") == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"margin": 0}, "margin is 0; expected a number above 0"),
        ({"epochs": 2.5}, "epochs is 2.5; expected a whole number"),
        ({"epochs": True}, "epochs is True; expected a whole number"),
        ({"epochs": 10**400}, "expected a number above 0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf; expected a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; expected a number above 0"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; expected a number"),
        ({"allow_outside": 1}, "allow_outside is 1; expected True or False"),
        ({"cleaning": None}, "cleaning is None; expected a text"),
        ({"draw_by": "product"}, "draw_by is 'product'; expected photo or category"),
        ({"filters": [32, -1]}, r"filters is \[32, -1\]; expected a number above 0"),
        ({"filters": []}, r"filters is \[\]; expected a list of whole numbers"),
        ({"filters": ["a"]}, r"filters is \['a'\]; expected a list of whole numbers"),
        ({"filters": 32}, "filters is 32; expected a list of whole numbers"),
        ({"accept": 1}, "accept is 1; expected a share"),
        ({"row_side": 16}, "row_side is 16; expected a number from 24 to 512"),
        ({"seed": -1}, "seed is -1; expected a number from 0"),
        ({"threads": 1025}, "threads is 1025; expected a number from 0 to 1024"),
        ({"split_seed": 2**64}, "split_seed is 18446744073709551616; expected"),
        ({"photo": "/nowhere.jpg"}, "photo is '/nowhere.jpg'; expected the path of a photo; there is no such file"),
        ({"photo": __file__}, "expected a photo; this one cannot be read: not a photo"),
        ({"photo": "~nobody/x\0" + "y" * 5000}, "there is no such file"),
        ({"cluster": "host"}, r"cluster is 'host'; expected an address such as tcp://HOST:8786"),
        ({"epoch": 3}, "this notebook has no parameter 'epoch'; there are accept, allow_outside"),
    ],
)
def test_impossible_parameters_are_refused(given, message):
    with pytest.raises(UserError, match=message) as found:
        check(given, EVERY, "this notebook has no")
    assert len(str(found.value)) < 700


def test_a_backbone_is_looked_for_before_anything_long(monkeypatch):
    asked = []
    monkeypatch.setattr(backbones, "pretrained_weights", asked.append)
    for backbone in ("resnet18", ""):
        check({"backbone": backbone}, EVERY, "")
    assert asked == ["resnet18"]


# In a notebook: cells are run by IPython, one after the other


@pytest.fixture
def shell():
    shell = InteractiveShell()
    shell.check = lambda: check_notebook(shell.user_ns)
    shell.say = lambda cell: shell.run_cell(cell, store_history=True).raise_error()
    shell.say("epochs: int = 10  # passes\nmargin: float = 2.0\nfilters: list[int] = [32, 64]")
    yield shell
    InteractiveShell.clear_instance()


def test_a_notebook_refuses_what_papermill_was_given(shell):
    shell.check()
    shell.say("# Parameters\nepochs = 4\nmargin = 1\nrow_epochs = 2\n")  # the last one is meant for another notebook
    for cell in ("a: dict = {}", "%time 1", "x = [epoch for epoch in range(3)]", "loss: float = 3.5"):
        shell.say(cell)
    shell.run_cell("half =", store_history=True)
    shell.check()
    shell.say("# Parameters\nepoch = 4\n")
    with pytest.raises(UserError, match="has no parameter 'epoch'; there are a, epochs, filters, loss, m"):
        shell.check()
    shell.say("# Parameters\nepochs = 4\n")  # mended in JupyterLab
    shell.check()
    shell.say("epochs = 'ten'")
    with pytest.raises(UserError, match="parameter epochs is 'ten'; expected a whole number"):
        shell.check()


def test_it_works_where_there_is_no_history():
    namespace = {}
    exec("epochs: int = 10\nfilters: list[int] = [1]", namespace)
    check_notebook(namespace)
    with pytest.raises(UserError, match=r"filters is \[1.5\]; expected a list of whole numbers"):
        open_notebook(namespace | {"filters": [1.5]})


def test_plain_papermill_ends_with_one_message(tmp_path):
    notebook = new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}})
    check = "from autoparts.study.parameters import check_notebook\ncheck_notebook(globals())"
    notebook.cells = [new_code_cell("epochs: int = 10", metadata={"tags": ["parameters"]}), new_code_cell(check)]
    nbformat.write(notebook, tmp_path / "in.ipynb")
    with pytest.raises(papermill.PapermillExecutionError, match="has no parameter 'epoch'; there are epo"):
        papermill.execute_notebook(tmp_path / "in.ipynb", tmp_path / "out.ipynb", {"epoch": 3}, progress_bar=False)
    error = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs[0]
    assert error["traceback"] == [f"UserError: {error['evalue']}"]
