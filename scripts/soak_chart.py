"""The picture of scripts/soak: memory, descriptors and latencies over time, and what was done to the server."""
import matplotlib

matplotlib.use('svg')
import matplotlib.pyplot as plt  # noqa: E402

from load_chart import BLUE, STYLE  # noqa: E402

COLORS = {'kill': '#b3261e', 'reload': '#2a9d8f', 'upgrade': '#7b5ea7', 'reopen-logs': '#999999'}


def draw(path, soaking):
    plt.rcParams.update(STYLE)
    figure, (memory, descriptors, times) = plt.subplots(3, 1, sharex=True, figsize=(10, 8), layout='constrained')
    seconds = [sample[0] for sample in soaking.samples]

    def line(axes, place, style='-', label=None):
        values = [float('nan') if sample[place] is None else sample[place] for sample in soaking.samples]
        axes.plot(seconds, values, style, color=BLUE, label=label)

    line(memory, 1)
    memory.set_ylabel('MiB of all processes')
    line(descriptors, 2)
    descriptors.set_ylabel('descriptors')
    line(times, 3, '-', 'p50')
    line(times, 4, ':', 'p99')
    times.set_ylabel('ms of a small request')
    times.set_xlabel('seconds')
    times.legend(loc='upper right', frameon=False)
    seen = set()
    for at, name in soaking.deeds:
        for axes in (memory, descriptors, times):
            axes.axvline(at, color=COLORS[name], linewidth=0.7, alpha=0.6,
                         label=name if axes is memory and name not in seen else None)
        seen.add(name)
    for axes in (memory, descriptors, times):
        axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.15)
    if seen:
        memory.legend(loc='lower right', ncols=len(seen), frameon=False)
    figure.savefig(path, metadata={'Date': None})
