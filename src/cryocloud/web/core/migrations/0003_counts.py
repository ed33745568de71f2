from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0002_task_organization'),
    ]

    operations = [
        migrations.CreateModel(
            name='Count',
            fields=[
                ('key', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('used', models.PositiveIntegerField()),
                ('ends_at', models.DateTimeField(db_index=True)),
            ],
        ),
        # Counts of the log-in library, which lie in the table above now.
        migrations.RunSQL(
            [f'DROP TABLE IF EXISTS {name}' for name in ('axes_accessattemptexpiration', 'axes_accessattempt', 'axes_accessfailurelog', 'axes_accesslog')],
            migrations.RunSQL.noop,
        ),
    ]
