"""``convtrials models``: what a recipe can name, from the lists themselves."""

from collections.abc import Iterable


def models() -> None:
    """List what a recipe can name: networks, optimizers, schedules, activations, losses; and built-in recipes."""
    from convtrials.models.activations import ACTIVATIONS
    from convtrials.models.registry import list_models
    from convtrials.training.engine.loss import LOSSES
    from convtrials.training.optim.optimizers import OPTIMIZERS
    from convtrials.training.optim.schedules import SCHEDULES
    from convtrials.training.recipe.recipe import BUILT_IN_RECIPES, built_in_recipes

    _show(
        "Networks (model: NAME, or your own module:factory)",
        ("model", "parameters", "what it is"),
        ((one.name, f"{one.parameters:,}", f"{one.summary}; {one.paper}") for one in list_models()),
    )
    _show(
        "Optimizers (optimizer: NAME, or your own module:Name)",
        ("optimizer", "default lr", "options", "what it is"),
        ((name, f"{one.lr:g}", ", ".join(one.options), one.summary) for name, one in OPTIMIZERS.items()),
    )
    _show(
        "Schedules (schedule: NAME, or your own module:name)",
        ("schedule", "options", "what it does"),
        ((name, ", ".join(("warmup", *one.options)), one.summary) for name, one in SCHEDULES.items()),
    )
    _show(
        "Activations (activation: NAME, or your own module:Name)",
        ("activation", "paper"),
        ((name, one.paper) for name, one in ACTIVATIONS.items()),
    )
    _show(
        "Losses (loss: NAME, or your own module:name)",
        ("loss", "options", "what it is"),
        ((name, ", ".join(one.options), one.summary) for name, one in LOSSES.items()),
    )
    first_lines = {
        name: (BUILT_IN_RECIPES / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        for name in built_in_recipes()
    }
    _show(
        "Recipes (--recipe NAME)",
        ("recipe", "what it is for"),
        ((name, line.removeprefix("# ")) for name, line in first_lines.items()),
    )


def _show(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
