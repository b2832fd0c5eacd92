"""Models of one's own by ``module:factory``: called with what they take, refused in one line."""

import sys

import pytest
import torch

from convtrials.core.errors import RecipeError
from convtrials.models import build_model

NETWORKS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, channels, *, width=1.0):
        super().__init__()
        self.body = nn.Conv2d(channels, int(8 * width), 3)
        self.head = nn.LazyLinear(classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))

def linear(classes, **knobs):
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(classes), nn.Dropout(knobs["dropout"]))
    net.knobs = knobs
    return net

class factories:
    nested = Net

def wants_more(classes, depth): ...
def positional(classes, /): ...
def a_string(classes): return "model"
def fails(classes): raise KeyError("no such layer")
def wrong_classes(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
def wrong_channels(classes): return Net(classes, 7)
def two_outputs(): return nn.LSTM(28, 4)
number = 3
class Sine(nn.Module):
    def __init__(self, scale=2.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
    def forward(self, x):
        return torch.sin(self.scale * x)
"""


@pytest.fixture(autouse=True)
def networks(tmp_path, monkeypatch):
    (tmp_path / "trial_networks.py").write_text(NETWORKS)
    (tmp_path / "trial_broken.py").write_text("import module_that_nobody_has\n")
    (tmp_path / "trial_syntax.py").write_text("def (:\n")
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("trial_networks", "trial_broken", "trial_syntax"):
        sys.modules.pop(name, None)


def build(factory, **changes):
    return build_model(factory, **({"classes": 5, "channels": 1, "image_size": (28, 20)} | changes))


def test_a_class_from_the_current_directory_gets_what_it_takes():
    path = list(sys.path)
    model = build("trial_networks:Net", width=2.0)
    assert model.body.out_channels == 16
    assert model.training
    assert model(torch.zeros(3, 1, 28, 20)).shape == (3, 5)
    assert sys.path == path


def test_a_dotted_factory():
    assert build("trial_networks:factories.nested").body.out_channels == 8


def test_a_factory_with_open_keywords_gets_everything():
    model = build("trial_networks:linear", dropout=0.1, activation="LeakyReLU")
    assert model.knobs == {
        "channels": 1,
        "image_size": (28, 20),
        "width": 1.0,
        "dropout": 0.1,
        "activation": "leaky_relu",
        "batch_norm": False,
        "classifier_width": None,
    }


def test_the_seed_decides_the_weights_lazy_ones_too():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = build("trial_networks:Net", seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again, other = (build("trial_networks:Net", seed=seed).state_dict() for seed in (1, 2))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not any(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("factory", "match"),
    [
        ("trial_networks:", "module:factory"),
        ("../x:Net", "module:factory"),
        ("trial_networks:Net()", "module:factory"),
        ("trial_nowhere:Net", "no module 'trial_nowhere'"),
        ("trial_nowhere.deep:Net", "no module 'trial_nowhere.deep'"),
        ("trial_broken:Net", "cannot be imported: ModuleNotFoundError: .*module_that_nobody_has"),
        ("trial_syntax:Net", "cannot be imported: SyntaxError"),
        ("trial_networks:Missing", "module 'trial_networks' has no 'Missing'"),
        ("trial_networks:number", "is neither a function nor a class"),
        ("trial_networks:wants_more", "needs an argument 'depth'; by keyword it can have classes, channels"),
        ("trial_networks:positional", "needs an argument 'classes'"),
        ("trial_networks:a_string", "returned a str, not a torch.nn.Module"),
        ("trial_networks:fails", "failed: KeyError: 'no such layer'"),
        ("trial_networks:wrong_classes", r"gives \(2, 3\) for two images; needed: logits of \(2, 5\)"),
        ("trial_networks:wrong_channels", "cannot read images of 1x28x20: RuntimeError"),
        ("trial_networks:two_outputs", "cannot read images"),
    ],
)
def test_errors_are_one_line_and_say_why(factory, match):
    with pytest.raises(RecipeError, match=f"^model: .*{match}") as caught:
        build(factory)
    assert "\n" not in str(caught.value)


def test_an_activation_of_ones_own() -> None:
    model = build("vgg11", activation="trial_networks:Sine", width=0.125)
    kinds = [type(layer).__name__ for layer in model.modules()]
    assert kinds.count("Sine") == 10
    assert "ReLU" not in kinds
    assert kinds.index("MaxPool2d") > kinds.index("Sine")  # it may fall, so it stands before the pooling
    assert model(torch.zeros(3, 1, 28, 20)).shape == (3, 5)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("trial_nowhere:Sine", "there is no module 'trial_nowhere'"),
        ("trial_networks:a_string", r"cannot be called as \(\): missing a required argument: 'classes'"),
        ("trial_networks:number", "is neither a function nor a class"),
        ("torch:zeros_like", "does not say which arguments it takes"),
        ("trial_networks:factories", "returned a factories, not a torch.nn.Module"),
        ("trial_networks:", "choose one of relu"),
    ],
)
def test_activations_that_cannot_work(name, match):
    with pytest.raises(RecipeError, match=f"^activation: .*{match}"):
        build("alexnet", activation=name)


def test_a_knob_that_the_factory_would_lose_is_refused():
    with pytest.raises(
        RecipeError, match=r"^dropout: 0.1 has no effect, as trial_networks:Net takes no 'dropout'"
    ):
        build("trial_networks:Net", dropout=0.1)
