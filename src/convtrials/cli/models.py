"""``convtrials models``: the networks, optimizers, schedules and activations that a recipe can name, and recipes."""


def models() -> None:
    """List what a recipe can name: networks, optimizers, schedules; and the recipes that come along."""
    from rich.console import Console
    from rich.table import Table

    from convtrials.models.registry import list_models
    from convtrials.training.optim.optimizers import OPTIMIZERS
    from convtrials.training.optim.schedules import SCHEDULES
    from convtrials.training.recipe.recipe import BUILT_IN_RECIPES, built_in_recipes

    console = Console()
    networks = Table(
        "model", "parameters", "what it is", title="Networks (model: NAME, or your own module:factory)"
    )
    for entry in list_models():
        networks.add_row(entry.name, f"{entry.parameters:,}", f"{entry.summary}; {entry.paper}")
    console.print(networks)
    optimizers = Table(
        "optimizer", "default lr", "options", "what it is", title="Optimizers (optimizer: NAME)"
    )
    for name, optimizer in OPTIMIZERS.items():
        optimizers.add_row(name, f"{optimizer.lr or 0:g}", ", ".join(optimizer.options), optimizer.summary)
    console.print(optimizers)
    schedules = Table("schedule", "options", "what it does", title="Schedules (schedule: NAME)")
    for name, schedule in SCHEDULES.items():
        schedules.add_row(name, ", ".join(("warmup", *schedule.options)), schedule.summary)
    console.print(schedules)
    recipes = Table("recipe", "what it is for", title="Recipes (--recipe NAME)")
    for name in built_in_recipes():
        first_line = (BUILT_IN_RECIPES / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        recipes.add_row(name, first_line.removeprefix("# "))
    console.print(recipes)
