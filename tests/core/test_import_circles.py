"""No module of the package imports itself by way of others, imports inside functions counted."""

import grimp


def test_no_import_circles() -> None:
    graph = grimp.build_graph("convtrials", exclude_type_checking_imports=True, cache_dir=None)
    left = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    while left:  # what imports nothing that is left is in no circle
        free = {module for module, imported in left.items() if not imported & left.keys()}
        assert free, f"these modules import each other in a circle: {sorted(left)}"
        left = {module: imported for module, imported in left.items() if module not in free}
