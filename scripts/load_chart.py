"""The picture of scripts/load-test: what was served and refused, how long it took, how much was in flight, over time."""
import matplotlib

matplotlib.use('svg')
import matplotlib.pyplot as plt  # noqa: E402

from paced_load import percentile  # noqa: E402

# Served, refused, and the limits.
BLUE, ORANGE, RED = '#2a6f97', '#e07a1f', '#b3261e'
WARNING = 0.8
STYLE = {'svg.fonttype': 'none', 'font.family': 'sans-serif', 'font.size': 9, 'axes.spines.top': False,
         'axes.spines.right': False, 'axes.grid': True, 'grid.alpha': 0.25}


def draw(path, load, usage, concurrent_max, per_minute_max):
    plt.rcParams.update(STYLE)
    figure, (rates, times, flight) = plt.subplots(3, 1, sharex=True, figsize=(10, 8), layout='constrained')
    seconds = range(int(max(done.ended for done in load.done)) + 1)
    per_second = [[] for _ in seconds]
    for done in load.done:
        per_second[int(done.ended)].append(done)

    def counts(is_counted):
        return [sum(map(is_counted, ended)) for ended in per_second]

    rates.step(seconds, counts(lambda done: done.is_served), BLUE, where='post', label='served')
    rates.step(seconds, counts(lambda done: done.is_refused), ORANGE, where='post', label='refused')
    limit(rates, per_minute_max / 60, f'{per_minute_max} a minute')
    rates.set_ylabel('requests a second')
    for percent, style in ((50, '-'), (99, ':')):
        values = [percentile([done.took for done in ended if done.is_served], percent) for ended in per_second]
        values = [float('nan') if value is None else value for value in values]
        times.plot(seconds, values, style, color=BLUE, label=f'p{percent} of the served')
    times.set_ylabel('seconds')
    flight.plot([sample[0] for sample in usage.samples], [sample[2] for sample in usage.samples], color=BLUE,
                label='awaited by the clients')
    limit(flight, concurrent_max, f'{concurrent_max} at a time')
    limit(flight, concurrent_max * WARNING, 'warning', '--')
    flight.set_ylabel('requests in flight')
    flight.set_xlabel('seconds')
    name_phases(load, (rates, times, flight))
    for axes in (rates, times, flight):
        axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.15)
        axes.legend(loc='upper left', frameon=False)
    figure.savefig(path, metadata={'Date': None})


def limit(axes, value, label, style='-'):
    axes.axhline(value, color=RED, linestyle=style, linewidth=1, label=label)


def name_phases(load, all_axes):
    begin = 0
    for number, phase in enumerate(load.phases):
        begin += phase.pause
        end = begin + phase.seconds
        for axes in all_axes:
            if number % 2:
                axes.axvspan(begin, end, color='#000000', alpha=0.04, linewidth=0)
        name = phase.name.replace(': ', '\n')
        all_axes[0].annotate(name, ((begin + end) / 2, 1.01), xycoords=('data', 'axes fraction'), ha='center', va='bottom', fontsize=7)
        begin = end
